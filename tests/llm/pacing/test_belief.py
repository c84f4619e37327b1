"""Refusals that get rarer where less is sent are a limit's, and the others are noise."""

from random import Random

import pytest

from pipeline.llm.pacing.belief import LOWEST, LimitBelief

MAXIMUM = 64
RISK = 0.01
REPLY_SECONDS = 0.1


def seen(*rounds: tuple[float, int, int], times: int = 1) -> LimitBelief:
    """What is believed after rounds of (load, accepted, refused), once every burst was used up."""
    belief = LimitBelief(MAXIMUM)
    belief.pass_time(0.0, 10**6, REPLY_SECONDS)
    for _ in range(times):
        for load, accepted, refused in rounds:
            belief.observe(load, accepted, refused)
    return belief


def total(belief: LimitBelief) -> float:
    return float(belief.weights.sum())


def test_nothing_is_known_at_first_so_as_much_may_be_sent_as_is_worth_the_risk() -> None:
    belief = LimitBelief(MAXIMUM)
    assert belief.highest(0.5) == MAXIMUM
    assert belief.highest(0.002) < 1
    assert belief.noise < 0.05


@pytest.mark.parametrize("percent", range(4, 80, 3))
def test_noise_between_two_shares_that_are_considered_is_no_limit_however_much_is_sent(percent: int) -> None:
    belief = seen((48, 100 - percent, percent), (64, 100 - percent, percent))
    for _ in range(50):  # 3,000 a second
        belief.pass_time(0.1, 3 * (100 - percent), 0.02)
        belief.observe(48, 100 - percent, percent)
        belief.observe(64, 2 * (100 - percent), 2 * percent)
    assert belief.highest(RISK) > 0.9 * MAXIMUM


def test_refusals_that_do_not_get_rarer_at_a_lower_level_become_noise() -> None:
    belief = seen((64, 90, 10), (16, 90, 10), (4, 90, 10), times=3)
    assert belief.noise == pytest.approx(0.1, abs=0.02)
    assert belief.blame(64) < 0.1
    assert belief.highest(RISK) == MAXIMUM


def test_refusals_that_do_become_a_limit() -> None:
    belief = seen((32, 50, 50), (16, 100, 0), (15, 100, 0), times=3)
    assert belief.highest(RISK) == pytest.approx(16, rel=0.08)
    assert belief.blame(32) > 0.9
    assert belief.noise < 0.01


def test_a_limit_is_found_beside_noise() -> None:
    belief = seen((32, 48, 52), (14, 95, 5), (8, 95, 5), times=6)
    assert belief.noise == pytest.approx(0.05, abs=0.015)
    assert belief.highest(RISK) == pytest.approx(16, rel=0.15)
    assert belief.blame(32) > 0.8
    assert belief.blame(8) < 0.2


def test_the_more_is_risked_the_higher_the_level() -> None:
    belief = seen((32, 50, 50), (12, 100, 0))
    levels = [belief.highest(risk) for risk in (0.002, 0.01, 0.05, 0.2, 0.5)]
    assert levels == sorted(levels)
    assert levels[0] < levels[-1]


def test_an_endpoint_that_refuses_almost_everything_leaves_the_lowest_level() -> None:
    assert seen((1, 0, 20), (0.1, 0, 20), (LOWEST, 0, 20), times=5).highest(0.002) == pytest.approx(
        LOWEST, rel=0.07
    )


def test_a_bursts_replies_are_not_taken_for_capacity() -> None:
    burst, at_once = LimitBelief(MAXIMUM), LimitBelief(MAXIMUM)
    at_once.pass_time(0.0, 10**6, REPLY_SECONDS)  # nothing is left of any burst
    burst.pass_time(0.0, 0, REPLY_SECONDS)
    for belief in (burst, at_once):
        belief.observe(5, 100, 0)  # as at a rate of 50 a second
        belief.observe(10, 5, 5)
        belief.observe(5, 100, 0)
        belief.pass_time(10.0, 0, REPLY_SECONDS)  # in which it refills
    burst.observe(10, 50, 0)
    at_once.pass_time(0.0, 10**6, REPLY_SECONDS)
    at_once.observe(10, 50, 0)
    assert burst.highest(RISK) < 0.75 * at_once.highest(RISK)


def test_what_was_refused_for_a_limit_shows_that_its_burst_is_used_up() -> None:
    belief = LimitBelief(MAXIMUM)
    belief.pass_time(0.0, 0, REPLY_SECONDS)
    belief.observe(10, 0, 1)
    before = belief.highest(RISK)
    belief.observe(10, 50, 0)  # so these count
    assert belief.highest(RISK) > before


def test_a_told_refusal_is_no_noise() -> None:
    belief = seen((20, 90, 10), (5, 90, 10), times=3)
    before = belief.blame(20)
    assert before < 0.1
    for _ in range(3):
        belief.told(20)
    assert belief.blame(20) > 4 * before
    assert belief.highest(0.2) < 25 < MAXIMUM


def unsureness(belief: LimitBelief) -> float:
    """How far apart the levels for much and for little risk are."""
    return belief.highest(0.3) / belief.highest(0.01)


def test_time_lets_old_knowledge_fade() -> None:
    belief = seen((32, 50, 50), (16, 100, 0), times=3)
    found = [unsureness(belief)]
    for _ in range(3):
        for _ in range(20):
            belief.pass_time(0.1, 10, REPLY_SECONDS)
        found.append(unsureness(belief))
    assert found == sorted(found)
    assert found[-1] > 2 * found[0]


def test_where_little_is_sent_what_is_known_fades_slowly() -> None:
    busy, quiet = (seen((32, 50, 50), (16, 100, 0), times=3) for _ in range(2))
    for _ in range(100):
        busy.pass_time(0.1, 10, REPLY_SECONDS)
        quiet.pass_time(0.1, 0, REPLY_SECONDS)
    assert unsureness(quiet) < 0.6 * unsureness(busy)


@pytest.mark.parametrize(("seconds", "less_sure"), [(0.0, False), (5.0, True)])
def test_what_was_believed_before_a_storm_comes_back_with_its_age(*, seconds: float, less_sure: bool) -> None:
    belief = seen((32, 50, 50), (16, 100, 0), times=3)
    level, low, sure = belief.highest(0.3), belief.highest(RISK), unsureness(belief)
    belief.remember(1.0)
    belief.observe(16, 0, 10)  # a storm
    belief.remember(1.5)
    belief.observe(16, 0, 20)
    assert belief.highest(RISK) < 0.95 * low
    belief.go_back(seconds)
    assert belief.highest(0.3) == pytest.approx(level, rel=0.2)
    assert (unsureness(belief) > 1.01 * sure) is less_sure


def test_what_nobody_would_have_expected_starts_it_anew() -> None:
    belief = seen((64, 100_000, 0), (32, 100_000, 0))
    belief.observe(1, 0, 10_000)
    assert total(belief) == pytest.approx(1)


def test_it_is_a_probability_whatever_happens() -> None:
    chance, belief = Random(3), LimitBelief(MAXIMUM)
    for _ in range(300):
        load = chance.uniform(0.01, 100)
        belief.observe(load, chance.randrange(50), chance.randrange(5))
        if chance.random() < 0.1:
            belief.told(load)
        belief.pass_time(chance.random(), chance.randrange(100), chance.uniform(0.01, 10))
        assert total(belief) == pytest.approx(1)
        assert 0 <= belief.blame(load) <= 1
        assert 0 < belief.noise < 0.5
        assert LOWEST <= belief.highest(chance.uniform(0.002, 0.5)) <= MAXIMUM
