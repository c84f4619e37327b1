"""No more requests are in flight than the level allows, and whoever waits longest is next."""

import asyncio
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.llm.pacing.concurrency import Concurrency, Departure
from pipeline.system.clock import Clock
from tests.llm.virtual_time import in_virtual_time, now, virtual_clock


class Steps:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.at = 0.0

    def clock(self) -> Clock:
        return Clock(now=lambda: self.at, random=lambda: 0.5)


def with_level(value: float) -> Concurrency:
    concurrency = Concurrency(64, virtual_clock())
    concurrency.level.value = value
    return concurrency


async def waiting(concurrency: Concurrency, count: int) -> list[asyncio.Task[None]]:
    """Let so many wait for a slot, in this order."""
    tasks = [asyncio.create_task(concurrency.acquire()) for _ in range(count)]
    await asyncio.sleep(1)
    return tasks


def served(tasks: list[asyncio.Task[None]]) -> list[bool]:
    return [task.done() and not task.cancelled() for task in tasks]


async def answered(concurrency: Concurrency, *, refused: bool = False) -> None:
    """Send a request and wait for what becomes of it."""
    departure = concurrency.on_sent()
    await asyncio.sleep(0.03 if refused else 1)
    if refused:
        concurrency.on_refusal(departure, 0.0)
    else:
        concurrency.on_reply(departure)


async def stormy(concurrency: Concurrency, requests: int = 20) -> None:
    """Have so many requests refused that were sent together, until that is taken for a storm."""
    concurrency.level.value = 20.0
    await answered(concurrency)
    sent = [concurrency.on_sent() for _ in range(requests)]
    await asyncio.sleep(0.03)
    for departure in sent:
        concurrency.on_refusal(departure, 0.0)
    while not concurrency.level.storm.raging:
        await asyncio.sleep(0.1)
        concurrency.tick()


def test_no_more_slots_are_acquired_than_there_are_and_each_release_lets_one_waiter_in() -> None:
    async def main() -> None:
        concurrency = with_level(2.9)
        tasks = await waiting(concurrency, 5)
        assert served(tasks) == [True, True, False, False, False]
        concurrency.release()
        await asyncio.sleep(1)
        assert served(tasks) == [True, True, True, False, False]

    in_virtual_time(main())


def test_a_newcomer_does_not_overtake_whoever_waits() -> None:
    async def main() -> None:
        concurrency = with_level(1)
        tasks = await waiting(concurrency, 2)
        concurrency.release()  # now the slot is the second one's, who does not run before the next round
        assert not concurrency.try_acquire()
        await asyncio.sleep(1)
        assert served(tasks) == [True, True]

    in_virtual_time(main())


def test_a_waiter_that_gives_up_is_passed_over_and_loses_no_slot() -> None:
    async def main() -> None:
        concurrency = with_level(2)
        tasks = await waiting(concurrency, 5)
        tasks[2].cancel()  # gives up waiting
        concurrency.release()
        await asyncio.sleep(1)
        assert served(tasks) == [True, True, False, True, False]
        concurrency.release()
        tasks[4].cancel()  # gives up at the moment at which it gets the slot
        await asyncio.sleep(1)
        await asyncio.wait_for(concurrency.acquire(), 1)

    in_virtual_time(main())


def test_a_higher_level_lets_waiters_in_with_the_next_tick() -> None:
    async def main() -> None:
        concurrency = with_level(1)
        tasks = await waiting(concurrency, 4)
        concurrency.level.value = 3.0
        concurrency.tick()
        await asyncio.sleep(1)
        assert served(tasks) == [True, True, True, False]

    in_virtual_time(main())


def test_the_level_never_lets_through_more_than_the_maximum() -> None:
    concurrency = Concurrency(5, Steps().clock())
    concurrency.level.value = 1000.0
    assert concurrency.limit == 5
    assert [concurrency.try_acquire() for _ in range(7)] == [True] * 5 + [False] * 2


def test_a_fraction_of_the_level_is_one_more_in_flight_now_and_then() -> None:
    async def main() -> float:
        concurrency = Concurrency(64, virtual_clock())
        await answered(concurrency, refused=True)
        limits = []
        for _ in range(1000):
            concurrency.tick()
            concurrency.level.value = 3.25
            limits.append(concurrency.limit)
        assert set(limits) == {3, 4}
        return sum(limits) / len(limits)

    assert 3.2 < in_virtual_time(main()) < 3.3


def test_until_the_first_refusal_requests_are_not_spread_out() -> None:
    async def main() -> None:
        concurrency = with_level(4)
        await answered(concurrency)
        start = now()
        for _ in range(4):
            await concurrency.pace()
        assert now() - start < 0.001

    in_virtual_time(main())


def test_after_a_refusal_they_are_spread_over_the_time_of_a_reply() -> None:
    async def main() -> None:
        concurrency = with_level(4)
        await answered(concurrency)
        await answered(concurrency, refused=True)
        concurrency.level.value = 4.0
        times = []
        for _ in range(5):
            await concurrency.pace()
            times.append(now())
        assert all(0.19 < b - a < 0.21 for a, b in pairwise(times))  # 0.8 of 1 s, by 4

    in_virtual_time(main())


def test_below_one_in_flight_requests_have_breaks_between_them() -> None:
    async def main() -> None:
        concurrency = with_level(1)
        await answered(concurrency)
        await answered(concurrency, refused=True)
        concurrency.level.value = 0.25
        assert concurrency.limit == 1
        times = []
        for _ in range(4):
            await concurrency.pace()
            times.append(now())
        assert all(3.99 < b - a < 4.01 for a, b in pairwise(times))  # a reply takes 1 s

    in_virtual_time(main())


def test_a_storm_lets_one_request_through_at_a_time() -> None:
    async def main() -> None:
        concurrency = Concurrency(64, virtual_clock())
        await stormy(concurrency)
        assert concurrency.limit == 1
        paced = [asyncio.create_task(concurrency.pace()) for _ in range(5)]  # these had their slots before
        await asyncio.sleep(60)
        assert sum(task.done() for task in paced) == 1
        await answered(concurrency, refused=True)
        await asyncio.sleep(60)
        assert sum(task.done() for task in paced) == 2
        await answered(concurrency)
        await asyncio.sleep(60)
        assert all(task.done() for task in paced)

    in_virtual_time(main())


def test_a_suspected_storm_holds_those_who_were_about_to_send() -> None:
    async def main() -> None:
        concurrency = with_level(20)
        await answered(concurrency)
        sent = [concurrency.on_sent() for _ in range(20)]
        await asyncio.sleep(0.03)
        concurrency.on_refusal(sent[0], 0.0)
        concurrency.level.value = 20.0
        paced = [asyncio.create_task(concurrency.pace()) for _ in range(3)]
        await asyncio.sleep(0.001)
        assert [task.done() for task in paced] == [True, False, False]
        for departure in sent[1:]:
            concurrency.on_refusal(departure, 0.0)
        until = concurrency.level.storm.until
        await asyncio.sleep(until - now() - 0.001)
        assert [task.done() for task in paced] == [True, False, False]
        for task in paced:
            task.cancel()

    in_virtual_time(main())


@example([*[("s", 0.0)] * 4, ("g", 1.0), ("r", 0.0), ("g", 0.0), ("g", 1.0)], 1)
@settings(max_examples=40)
@given(st.lists(st.tuples(st.sampled_from("srgo"), st.floats(0, 5)), max_size=40), st.integers(1, 20))
def test_the_limit_stays_between_one_and_the_maximum(story: list[tuple[str, float]], maximum: int) -> None:
    steps = Steps()
    concurrency = Concurrency(maximum, steps.clock())
    sent: list[Departure] = []
    for event, seconds in story:
        steps.at += seconds
        if event == "s" or not sent:
            sent.append(concurrency.on_sent())
        elif event == "r":
            concurrency.on_refusal(sent.pop(0), seconds)
        elif event == "g":
            concurrency.on_reply(sent.pop(0))
        else:
            concurrency.on_other(sent.pop())
        concurrency.tick()
        assert 1 <= concurrency.limit <= maximum
        assert 0 < concurrency.level.value <= maximum
        assert concurrency.sending == len(sent)


def slow_start(steps: Steps) -> Concurrency:
    """One request at a time is refused now and then, of replies that take a second."""
    concurrency = Concurrency(64, steps.clock())
    for refused in (False, True, False):
        departure = concurrency.on_sent()
        steps.at += 1.0
        if refused:
            concurrency.on_refusal(departure, 0.0)
        else:
            concurrency.on_reply(departure)
    concurrency.departure_time()
    return concurrency


def test_a_request_that_waits_for_its_moment_leaves_sooner_if_the_level_rises_meanwhile() -> None:
    steps = Steps()
    concurrency = slow_start(steps)
    concurrency.level.value = 0.25
    at = concurrency.departure_time()
    assert at - steps.at == pytest.approx(4, rel=0.1)
    concurrency.level.value = 0.5
    assert concurrency.sooner(at) - steps.at == pytest.approx(2, rel=0.1)
    assert concurrency.departure_time() - steps.at == pytest.approx(4, rel=0.1)


def test_a_request_that_is_not_the_last_to_wait_keeps_its_moment() -> None:
    steps = Steps()
    concurrency = slow_start(steps)
    concurrency.level.value = 0.1
    at, _later = concurrency.departure_time(), concurrency.departure_time()
    concurrency.level.value = 1.0
    assert concurrency.sooner(at) == at
