"""The level doubles until the first refusal; from then on it follows what is believed about the limit."""

from collections.abc import Callable

import pytest

from pipeline.llm.pacing.evidence import Departure
from pipeline.llm.pacing.level import TICK_SECONDS, Level
from pipeline.llm.pacing.throughput import SILENT_LEVEL
from pipeline.system.clock import Clock

REPLY_SECONDS, REFUSAL_SECONDS = 0.1, 0.03


class Steps:
    """A level on a clock that the test moves."""

    def __init__(self, maximum: int = 64) -> None:
        self.at = 0.0
        self.level = Level(maximum, Clock(now=lambda: self.at, random=lambda: 0.5))

    def send(self, count: int) -> list[Departure]:
        """Send so many together."""
        return [self.level.on_sent(number + 1) for number in range(count)]

    def rounds(
        self,
        count: int,
        refuses: Callable[[int, int], bool] = lambda _number, _count: False,
        seconds: float = REPLY_SECONDS,
    ) -> None:
        """Send as many as there may be, so many times; `refuses` is asked about each."""
        for _ in range(count):
            sent = self.send(max(1, int(self.level.value)))
            fates = [refuses(number, len(sent)) for number in range(len(sent))]
            self.at += REFUSAL_SECONDS
            for departure, refused in zip(sent, fates, strict=True):
                if refused:
                    self.level.on_refusal(departure, 0.0)
            self.tick()
            self.at += seconds - REFUSAL_SECONDS
            for departure, refused in zip(sent, fates, strict=True):
                if not refused:
                    self.level.on_reply(departure)
            self.tick()

    def storm(self, count: int, probes_refused: int) -> float:
        """Have so many refused together, and then so many probes; return the level in the storm."""
        sent = self.send(count)
        self.at += REFUSAL_SECONDS
        for departure in sent:
            self.level.on_refusal(departure, 0.0)
        self.wait(1.0)
        assert self.level.storm.raging
        level = self.level.value
        for number in range(probes_refused + 1):
            self.wait(30.0)
            (probe,) = self.send(1)
            if number < probes_refused:
                self.at += REFUSAL_SECONDS
                self.level.on_refusal(probe, 0.0)
        self.at += REPLY_SECONDS
        self.level.on_reply(probe)
        return level

    def tick(self, in_flight: int = 1) -> None:
        self.level.tick(in_flight)

    def wait(self, seconds: float, in_flight: int = 0) -> None:
        """Let time pass with so many in flight."""
        for _ in range(round(seconds / TICK_SECONDS)):
            self.at += TICK_SECONDS
            self.tick(in_flight)


def beyond(limit: int) -> Callable[[int, int], bool]:
    return lambda number, _: number >= limit


def test_it_starts_with_one_and_doubles_each_round_up_to_the_maximum() -> None:
    steps, levels = Steps(50), []
    for _ in range(8):
        levels.append(steps.level.value)
        steps.rounds(1)
    assert levels == [1, 2, 4, 8, 16, 32, 50, 50]


def test_it_does_not_grow_while_it_is_not_fully_used() -> None:
    steps = Steps()
    steps.rounds(4)
    for _ in range(20):
        sent = steps.send(15)
        steps.at += REPLY_SECONDS
        for departure in sent:
            steps.level.on_reply(departure)
        steps.tick()
    assert steps.level.value == 16


def test_where_replies_are_slow_it_doubles_by_time_and_before_the_first_only_so_far() -> None:
    steps, in_flight = Steps(), 0
    for _ in range(100):
        while in_flight < int(steps.level.value):
            in_flight += 1
            steps.level.on_sent(in_flight)
        steps.wait(TICK_SECONDS, in_flight)
    assert steps.level.value == SILENT_LEVEL


def test_doubling_by_time_stops_at_the_maximum() -> None:
    steps = Steps(3)
    steps.send(1)
    for _ in range(10):
        steps.wait(1.0, in_flight=64)
    assert steps.level.value == 3


def test_a_limit_is_kept_once_it_has_refused() -> None:
    steps = Steps()
    steps.rounds(60, beyond(16))
    assert 6 <= steps.level.value <= 18


def test_one_refusal_after_a_long_time_without_any_changes_little() -> None:
    steps = Steps()
    steps.rounds(200)
    steps.rounds(1, lambda number, _: number == 20)
    assert steps.level.value > 32
    steps.rounds(20)
    assert steps.level.value > 0.9 * 64


def test_failures_that_come_back_at_once_are_no_slow_replies() -> None:
    steps = Steps()
    for _ in range(50):
        (departure,) = steps.send(1)
        steps.wait(0.3, in_flight=1)
        steps.level.on_other(departure)
    assert steps.level.value == 1


def test_refusals_that_do_not_depend_on_the_level_do_not_lower_it_for_long() -> None:
    steps, sent = Steps(), iter(range(10**6))
    steps.rounds(60, lambda _number, _count: next(sent) % 20 == 19)
    assert steps.level.value > 0.7 * 64


def test_noise_has_to_prove_itself_where_less_is_sent() -> None:
    steps, sent, levels = Steps(), iter(range(10**6)), []
    for _ in range(60):
        steps.rounds(1, lambda _number, _count: next(sent) % 20 == 19)
        levels.append(steps.level.value)
    late = levels[20:]
    assert min(late) <= 0.76 * max(late)  # a dip


def test_below_one_in_flight_the_breaks_are_as_long_as_the_level_asks() -> None:
    steps = Steps()
    steps.rounds(1)
    steps.rounds(1, lambda number, _: number == 0)
    steps.level.value = 0.1
    reply = steps.level.evidence.reply_seconds
    assert reply is not None
    assert steps.level.spacing == pytest.approx(reply / 0.1)


def test_a_told_limit_lowers_the_level_without_a_refusal() -> None:
    steps = Steps()
    steps.rounds(6)
    sent = steps.send(64)
    steps.at += REPLY_SECONDS
    steps.level.on_told(sent[-1])
    assert steps.level.value < 64
    assert steps.level.spreads


@pytest.mark.parametrize("probes_refused", [0, 1])
def test_after_a_storm_it_goes_on_from_half_and_is_soon_back(probes_refused: int) -> None:
    steps = Steps()
    steps.rounds(100)
    before = steps.storm(64, probes_refused)
    assert steps.level.storm.calm
    assert steps.level.value == max(1.0, before / 2)
    steps.rounds(30)
    assert steps.level.value > 0.9 * 64


@pytest.mark.parametrize("probes_refused", [0, 1])
def test_a_storm_is_no_news_about_the_limit(probes_refused: int) -> None:
    steps = Steps()
    steps.rounds(40, beyond(16))
    steps.storm(16, probes_refused)
    steps.rounds(20, beyond(16))
    assert 6 <= steps.level.value <= 18


def test_a_limit_that_looked_like_a_storm_is_remembered_if_the_first_probe_is_accepted() -> None:
    steps = Steps()
    steps.rounds(6)
    steps.rounds(1, beyond(16))
    steps.storm(64, 0)
    for _ in range(8):
        steps.rounds(1, beyond(16))
        assert steps.level.value <= 16


def test_while_nothing_is_sent_nothing_changes() -> None:
    steps = Steps()
    steps.rounds(60, beyond(16))
    level = steps.level.value
    steps.wait(600.0)
    assert steps.level.value == level


def test_in_a_surge_several_are_in_flight_however_low_the_level_was() -> None:
    steps, before, surged = Steps(), 1.0, list[float]()
    for number in range(40):
        (departure,) = steps.send(1)
        steps.at += REFUSAL_SECONDS
        if number % 3:
            steps.level.on_refusal(departure, 0.0)
        else:
            steps.level.on_reply(departure)
        steps.wait(1.0)
        if before < 0.5 and steps.level.value >= 2:
            surged += [departure.load for departure in steps.send(2)]
            break
        before = steps.level.value
    assert surged == pytest.approx([1.0, 2.0], abs=0.01)
