"""Pauses last as long as they must, and no budget is exceeded."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import LimitReachedError
from pipeline.llm.pacing.budget import Budget
from pipeline.llm.pacing.quota import Pause
from tests.llm.virtual_time import in_virtual_time, now, virtual_clock


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
