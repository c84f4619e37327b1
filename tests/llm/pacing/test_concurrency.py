"""As many requests are in flight as the endpoint bears, and no more than bring more replies."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.llm.pacing.concurrency import Concurrency, Departure
from pipeline.system.clock import Clock
from tests.llm.virtual_time import in_virtual_time, virtual_clock


class Steps:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.at = 0.0

    def clock(self) -> Clock:
        return Clock(now=lambda: self.at)


def one_round(concurrency: Concurrency, steps: Steps, *, congested: int = 0) -> None:
    """Send as many requests as may be in flight; some of them meet congestion."""
    sent = [concurrency.on_sent() for _ in range(int(concurrency.limit))]
    steps.at += 1
    for number, at in enumerate(sent):
        concurrency.on_done(at, congested=number < congested, success=number >= congested)


def grown(rounds: int, maximum: int = 1000) -> tuple[Concurrency, Steps]:
    steps = Steps()
    concurrency = Concurrency(maximum, steps.clock())
    for _ in range(rounds):
        one_round(concurrency, steps)
    return concurrency, steps


def test_it_starts_with_one_and_doubles_each_round_up_to_the_maximum() -> None:
    assert [grown(rounds, 50)[0].limit for rounds in range(8)] == [1, 2, 4, 8, 16, 32, 50, 50]


def test_an_episode_of_congestion_cuts_once_however_many_report_it() -> None:
    concurrency, steps = grown(6)
    sent = [concurrency.on_sent() for _ in range(64)]
    steps.at += 1
    first = [concurrency.on_done(at, congested=True, success=False) for at in sent]
    assert first == [True] + [False] * 63
    assert concurrency.limit == pytest.approx(64 * 0.7)


def test_congestion_of_a_request_sent_after_the_cut_is_a_new_episode() -> None:
    concurrency, steps = grown(6)
    one_round(concurrency, steps, congested=64)
    steps.at += 1
    late = concurrency.on_sent()
    steps.at += 1
    assert concurrency.on_done(late, congested=True, success=False)
    assert concurrency.limit == pytest.approx(64 * 0.49)


def test_after_an_episode_it_comes_back_fast_and_is_cautious_near_its_level() -> None:
    concurrency, steps = grown(6)
    one_round(concurrency, steps, congested=64)
    one_round(concurrency, steps)
    one_round(concurrency, steps)
    assert concurrency.limit >= Concurrency.NEAR * 64
    replies = 0
    while concurrency.limit < 64:
        replies += int(concurrency.limit)
        one_round(concurrency, steps)
    assert replies >= 80  # of 200 that should lie between two episodes, with the rounds before


def test_where_episodes_are_frequent_it_grows_more_slowly() -> None:
    def replies_per_fold(episodes: int) -> float:
        """How many replies it takes to grow e-fold, after some episodes, near the level of the last one."""
        concurrency, steps = grown(6)
        for _ in range(episodes):
            level = concurrency.limit
            one_round(concurrency, steps, congested=1)
            steps.at += 1
        while concurrency.limit < Concurrency.NEAR * level:
            one_round(concurrency, steps)
        sent = [concurrency.on_sent() for _ in range(int(concurrency.limit))]
        steps.at += 1
        before = concurrency.limit
        concurrency.on_done(sent[0], congested=False, success=True)
        return before / (concurrency.limit - before)

    found = [replies_per_fold(episodes) for episodes in (1, 2, 3, 5)]
    assert found == pytest.approx([500, 1000, 2000, 3000])


def test_beyond_the_level_of_the_last_episode_it_grows_fast_again() -> None:
    concurrency, steps = grown(6)
    one_round(concurrency, steps, congested=64)
    while concurrency.limit < Concurrency.BEYOND * 64:
        one_round(concurrency, steps)
    for _ in range(5):
        one_round(concurrency, steps)
    assert concurrency.limit >= 1.5 * 64


def test_it_does_not_grow_while_it_is_not_fully_used() -> None:
    concurrency, steps = grown(4)
    for _ in range(100):
        steps.at += 1
        sent = [concurrency.on_sent() for _ in range(15)]
        for at in sent:
            concurrency.on_done(at, congested=False, success=True)
    assert concurrency.limit == 16


def test_a_failure_that_is_no_congestion_changes_nothing() -> None:
    concurrency, _ = grown(4)
    sent = [concurrency.on_sent() for _ in range(16)]
    for at in sent:
        concurrency.on_done(at, congested=False, success=False)
    assert concurrency.limit == 16


@given(st.lists(st.tuples(st.sampled_from("sgfc"), st.floats(0, 5))), st.integers(1, 20))
def test_the_limit_stays_between_one_and_the_maximum(story: list[tuple[str, float]], maximum: int) -> None:
    steps = Steps()
    concurrency = Concurrency(maximum, steps.clock())
    sent: list[Departure] = []
    for event, seconds in story:
        steps.at += seconds
        if event == "s":
            sent.append(concurrency.on_sent())
        elif sent:
            concurrency.on_done(sent.pop(0), congested=event == "c", success=event == "g")
        assert 1 <= concurrency.limit <= maximum
        assert concurrency.sending == len(sent)


def test_no_more_slots_are_acquired_than_there_are_and_each_release_lets_one_waiter_in() -> None:
    async def main() -> None:
        concurrency = Concurrency(3, virtual_clock())
        concurrency.limit = 2.9
        waiting = [asyncio.create_task(concurrency.acquire()) for _ in range(5)]
        await asyncio.sleep(1)
        assert [task.done() for task in waiting] == [True, True, False, False, False]
        waiting[2].cancel()  # gives up waiting
        concurrency.release()
        await asyncio.sleep(1)
        assert [task.done() for task in waiting] == [True, True, True, True, False]
        concurrency.release()
        waiting[4].cancel()  # gives up at the moment at which it gets the slot
        await asyncio.sleep(1)
        await asyncio.wait_for(concurrency.acquire(), 1)

    in_virtual_time(main())
