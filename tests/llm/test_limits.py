"""Rates are kept to the unit, nobody starves, and nothing is exceeded."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.clock import Clock
from pipeline.errors import LimitReachedError
from pipeline.llm.limits import Budget, Concurrency, Pause
from tests.llm.virtual_time import in_virtual_time, now, virtual_clock


class Steps:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.at = 0.0

    def clock(self) -> Clock:
        return Clock(now=lambda: self.at)


def one_round(concurrency: Concurrency, steps: Steps, *, congested: int = 0) -> None:
    """Send as many requests as may be in flight; some of them meet congestion."""
    sent = [concurrency.sent() for _ in range(int(concurrency.limit))]
    steps.at += 1
    for number, at in enumerate(sent):
        concurrency.learn(at, congested=number < congested, success=number >= congested)


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
    sent = [concurrency.sent() for _ in range(64)]
    steps.at += 1
    first = [concurrency.learn(at, congested=True, success=False) for at in sent]
    assert first == [True] + [False] * 63
    assert concurrency.limit == pytest.approx(64 * 0.7)


def test_congestion_of_a_request_sent_after_the_cut_is_a_new_episode() -> None:
    concurrency, steps = grown(6)
    one_round(concurrency, steps, congested=64)
    steps.at += 1
    one_round(concurrency, steps, congested=1)
    assert concurrency.limit == pytest.approx(64 * 0.49, abs=1.5)


def test_after_the_first_congestion_it_grows_by_one_a_round() -> None:
    concurrency, steps = grown(6)
    one_round(concurrency, steps, congested=64)
    before = concurrency.limit
    for _ in range(10):
        one_round(concurrency, steps)
    assert concurrency.limit - before == pytest.approx(10, abs=1)


def test_it_does_not_grow_while_it_is_not_fully_used() -> None:
    concurrency, steps = grown(4)
    for _ in range(100):
        steps.at += 1
        sent = [concurrency.sent() for _ in range(15)]
        for at in sent:
            concurrency.learn(at, congested=False, success=True)
    assert concurrency.limit == 16


def test_a_failure_that_is_no_congestion_changes_nothing() -> None:
    concurrency, _ = grown(4)
    sent = [concurrency.sent() for _ in range(16)]
    for at in sent:
        concurrency.learn(at, congested=False, success=False)
    assert concurrency.limit == 16


@given(st.lists(st.tuples(st.sampled_from("sgfc"), st.floats(0, 5))), st.integers(1, 20))
def test_the_limit_stays_between_one_and_the_maximum(story: list[tuple[str, float]], maximum: int) -> None:
    steps = Steps()
    concurrency = Concurrency(maximum, steps.clock())
    sent: list[float] = []
    for event, seconds in story:
        steps.at += seconds
        if event == "s":
            sent.append(concurrency.sent())
        elif sent:
            concurrency.learn(sent.pop(0), congested=event == "c", success=event == "g")
        assert 1 <= concurrency.limit <= maximum
        assert concurrency.sending == len(sent)


def test_no_more_enter_than_there_are_places_and_each_leaver_lets_one_in() -> None:
    async def main() -> None:
        concurrency = Concurrency(3, virtual_clock())
        concurrency.limit = 2.9
        waiting = [asyncio.create_task(concurrency.enter()) for _ in range(5)]
        await asyncio.sleep(1)
        assert [task.done() for task in waiting] == [True, True, False, False, False]
        waiting[2].cancel()  # gives up
        concurrency.leave()
        await asyncio.sleep(1)
        assert [task.done() for task in waiting] == [True, True, True, True, False]
        concurrency.leave()
        waiting[4].cancel()  # gives up in the moment in which it is let in
        await asyncio.sleep(1)
        await asyncio.wait_for(concurrency.enter(), 1)

    in_virtual_time(main())


@given(st.lists(st.tuples(st.floats(0, 99), st.floats(0, 50)), max_size=5))
def test_a_pause_ends_when_the_last_of_its_reasons_does(extensions: list[tuple[float, float]]) -> None:
    async def main() -> None:
        pause = Pause(virtual_clock())

        async def extend(at: float, seconds: float) -> None:
            await asyncio.sleep(at)
            pause.extend(seconds)

        pause.extend(100)
        async with asyncio.TaskGroup() as group:
            for at, seconds in extensions:
                group.create_task(extend(at, seconds))
            waiting = group.create_task(pause.wait())
        await waiting
        assert now() >= max([100, *(at + seconds for at, seconds in extensions)])

    in_virtual_time(main())


def test_without_a_pause_nobody_waits() -> None:
    async def main() -> float:
        await Pause(virtual_clock()).wait()
        return now()

    assert in_virtual_time(main()) < 1e-6


@given(
    st.floats(0.01, 1),
    st.lists(st.tuples(st.booleans(), st.floats(0, 0.2), st.floats(0, 1)), max_size=50),
)
def test_a_budget_is_never_exceeded(maximum: float, story: list[tuple[bool, float, float]]) -> None:
    budget, reserved = Budget(maximum), []
    for settle, estimate, share in story:
        if settle and reserved:
            amount = reserved.pop(0)
            budget.settle(amount, amount * share)
        else:
            try:
                budget.reserve(estimate)
            except LimitReachedError:
                continue
            reserved.append(estimate)
        assert budget.spent_usd + sum(reserved) <= maximum + 1e-9


def test_an_exhausted_budget_says_what_was_spent_and_how_to_go_on() -> None:
    budget = Budget(1, spent_usd=0.9)
    with pytest.raises(
        LimitReachedError, match=r"limits\.max_cost_usd: 0\.9000 of 1 USD .* raise it"
    ) as caught:
        budget.reserve(0.2)
    assert caught.value.exit_status == 75
    budget.reserve(0.05)


def test_no_budget_is_no_limit() -> None:
    Budget(None).reserve(1e9)
