"""While the endpoint refuses everything, it is asked one request now and then, and never sooner than it told."""

import pytest

from pipeline.llm.pacing.storm import CLOSE, LATER_SECONDS, MAX_SECONDS, Storm
from pipeline.system.clock import Clock

REFUSAL_SECONDS = 0.03
NOISE = 0.01


class Weather:
    """A storm on a clock that the test moves; `random` is the clock's."""

    def __init__(self, random: float = 0.0) -> None:
        self.at = 0.0
        self.storm = Storm(Clock(now=lambda: self.at, random=lambda: random))

    @property
    def wait(self) -> float:
        return self.storm.until - self.at

    def refuse(self, *numbers: int, sent: int, told: float = 0.0, noise: float = NOISE) -> None:
        for number in numbers:
            self.storm.on_refusal(number, sent, REFUSAL_SECONDS, noise, told)

    def judge(self, sent: int) -> bool:
        """Judge as soon as a suspicion may be judged."""
        self.at = max(self.at, self.storm.until)
        return self.storm.judge(sent)


def raging(told: float = 0.0, random: float = 0.0) -> Weather:
    """All of the requests 100 to 109 were refused."""
    weather = Weather(random)
    weather.refuse(*range(100, 110), sent=110, told=told)
    assert weather.judge(110)
    return weather


def test_refusals_far_apart_in_the_order_of_sending_are_no_storm() -> None:
    weather = Weather()
    weather.refuse(*range(0, 1000, 3), sent=1000)
    assert weather.storm.calm
    assert weather.storm.until < 0


def test_some_close_together_hold_everybody_until_the_others_are_known() -> None:
    weather = Weather()
    weather.refuse(100, 101, 102, 103, sent=120)
    assert weather.storm.calm
    weather.refuse(105, sent=120)
    assert not weather.storm.calm
    assert weather.wait == pytest.approx(3 * REFUSAL_SECONDS)
    assert not weather.storm.judge(120)  # too soon
    assert not weather.storm.calm


def test_they_need_not_come_back_in_the_order_of_sending() -> None:
    weather = Weather()
    weather.refuse(105, 500, 101, 103, 900, 102, 100, sent=1000)
    assert weather.storm.calm
    weather.refuse(502, 501, 503, sent=1000)
    assert weather.storm.calm
    weather.refuse(902, 901, 903, 904, sent=1000)
    assert not weather.storm.calm


def test_where_much_is_refused_anyway_more_of_them_are_suspected() -> None:
    weather = Weather()
    weather.refuse(*range(100, 100 + CLOSE + 1), sent=110, noise=0.1)
    assert weather.storm.calm
    weather.refuse(106, sent=110, noise=0.1)
    assert not weather.storm.calm


def test_if_the_others_were_accepted_it_was_chance_and_nobody_waits() -> None:
    weather = Weather()
    weather.refuse(*range(100, 105), sent=164, told=60.0)
    assert not weather.judge(164)
    assert weather.storm.calm
    assert weather.wait <= 0


def test_if_nearly_all_others_were_refused_it_is_a_storm() -> None:
    weather = Weather()
    weather.refuse(*range(100, 118), sent=120)  # 90 %
    assert weather.judge(120)
    assert weather.storm.raging
    assert weather.wait > 0


def test_what_was_sent_after_the_hold_has_no_outcome_and_speaks_for_nothing() -> None:
    weather = Weather()
    weather.refuse(*range(100, 106), sent=106)
    assert weather.judge(130)


def test_during_a_storm_one_request_at_a_time_shows_whether_it_is_over() -> None:
    storm = raging().storm
    assert [storm.try_probe() for _ in range(3)] == [True, False, False]


def test_a_request_from_before_the_storm_lets_no_second_one_through() -> None:
    weather = raging()
    weather.storm.try_probe()
    weather.storm.on_other(109)
    weather.refuse(109, sent=111)
    assert not weather.storm.on_reply(108)
    assert weather.storm.raging
    assert not weather.storm.try_probe()


def test_a_probe_that_shows_nothing_makes_room_for_the_next() -> None:
    storm = raging().storm
    storm.try_probe()
    storm.on_other(110)
    assert storm.raging
    assert storm.try_probe()


def test_a_refused_probe_makes_room_for_the_next_after_a_pause() -> None:
    weather = raging()
    weather.at = weather.storm.until
    weather.storm.try_probe()
    weather.refuse(110, sent=111)
    assert weather.wait > 0
    assert weather.storm.try_probe()


def test_a_storm_ends_with_the_first_reply_to_a_probe() -> None:
    storm = raging().storm
    assert storm.on_reply(110)
    assert storm.calm
    assert not storm.on_reply(111)  # it is over already


def test_a_told_wait_is_not_undercut_and_is_stretched_by_a_tenth_at_most() -> None:
    assert raging(told=7.0).wait == pytest.approx(7.0)
    assert 7.0 < raging(told=7.0, random=0.999).wait <= 7.7
    weather = raging()
    weather.refuse(110, sent=111, told=20.0)
    assert weather.wait >= 20.0


def test_a_told_wait_is_kept_once() -> None:
    weather = raging(told=60.0)
    weather.at = weather.storm.until
    weather.refuse(110, sent=111)
    assert weather.wait < 2


def test_what_a_request_was_told_long_before_the_storm_does_not_prolong_it() -> None:
    weather = Weather()
    weather.refuse(7, sent=10, told=3600.0)
    weather.refuse(*range(100, 110), sent=110)
    assert weather.judge(110)
    assert weather.wait < 1


def test_the_pauses_double_up_to_some_seconds() -> None:
    weather, waits = raging(random=1.0), []
    for number in range(110, 116):
        waits.append(weather.wait)
        weather.at = weather.storm.until
        weather.refuse(number, sent=number + 1)
    assert waits == pytest.approx([0.5, 1, 2, 4, LATER_SECONDS, LATER_SECONDS])


def test_in_a_long_storm_they_are_a_tenth_of_it_up_to_half_a_minute() -> None:
    weather = raging(random=1.0)
    weather.at += 100
    weather.refuse(110, sent=111)
    weather.at += 60
    weather.refuse(111, sent=112)
    weather.at += 40
    for number in range(112, 120):
        weather.refuse(number, sent=number + 1)
    assert weather.wait == pytest.approx(20, rel=0.01)
    weather.at += 3600
    weather.refuse(120, sent=121)
    assert weather.wait == pytest.approx(MAX_SECONDS)


def test_the_pauses_of_a_new_storm_begin_anew() -> None:
    weather = raging(random=1.0)
    for number in range(110, 116):
        weather.refuse(number, sent=number + 1)
    weather.storm.on_reply(116)
    weather.at += 100
    weather.refuse(*range(200, 210), sent=210)
    assert weather.judge(210)
    assert weather.wait == pytest.approx(0.5)
