"""No budget is exceeded, not even by what is in flight."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import LimitReachedError
from pipeline.llm.pacing.budget import LESSONS, Budget, Portion


def spend(budget: Budget, share: float, in_flight: int, bound: float = 1.0, most: int = 10_000) -> int:
    """Send up to *in_flight* requests at a time that cost *share* of their bound; return how many until it is spent."""
    sent = 0
    while True:
        wave = 0
        while wave < in_flight and sent < most and budget.try_reserve(bound):
            wave, sent = wave + 1, sent + 1
        if not wave:
            return sent
        for _ in range(wave):
            budget.settle(bound, share * bound)


@given(st.floats(1, 5000), st.floats(0.01, 20), st.integers(1, 64))
def test_a_budget_is_not_exceeded_and_is_used_up_whatever_share_of_its_bound_a_request_costs(
    maximum: float, share: float, in_flight: int
) -> None:
    budget = Budget(maximum)
    sent = spend(budget, share, in_flight)
    first = share if sent else 0.0  # sent alone, to learn what it costs
    assert budget.spent_usd <= max(maximum, first) * 1.000001
    if sent < 10_000 and share < maximum:
        assert maximum - budget.spent_usd <= 2 * share + 1e-6


@given(
    st.floats(1, 100),
    st.lists(st.tuples(st.booleans(), st.floats(0, 2), st.floats(0, 1)), max_size=LESSONS),
)
def test_while_little_is_known_no_more_than_the_bounds_is_promised(
    maximum: float, story: list[tuple[bool, float, float]]
) -> None:
    budget, reserved = Budget(maximum), []
    for settle, bound, share in story:
        if settle and reserved:
            amount = reserved.pop(0)
            budget.settle(amount, amount * share)
        elif budget.try_reserve(bound):
            reserved.append(bound)
            # One that goes alone may cost more than is left: its bound is far too high as a rule.
            assert len(reserved) == 1 or budget.spent_usd + sum(reserved) <= maximum + 1e-9


def test_the_first_request_goes_alone_where_its_bound_exceeds_the_budget() -> None:
    budget = Budget(0.5)
    assert budget.try_reserve(1.0)
    assert not budget.try_reserve(1.0)
    budget.settle(1.0, 0.1)
    assert budget.try_reserve(1.0)  # it costs a tenth of its bound, as was seen


def test_what_recent_replies_cost_is_set_aside_and_not_what_the_cheap_ones_did() -> None:
    budget = Budget(20.0)
    for share in [0.1] * LESSONS + [0.9]:
        assert budget.try_reserve(1.0)
        budget.settle(1.0, share)
    left = 20.0 - budget.spent_usd
    in_flight = 0
    while budget.try_reserve(1.0):
        in_flight += 1
    assert in_flight <= left / 0.9


async def test_a_request_that_may_not_fit_waits_for_the_bills_of_those_in_flight() -> None:
    budget = Budget(1.5)
    assert budget.try_reserve(1.0)
    waiting = asyncio.create_task(budget.reserve(1.0))
    await asyncio.sleep(0)
    assert not waiting.done()
    budget.settle(1.0, 0.2)
    await waiting
    waiting = asyncio.create_task(budget.reserve(1.0))
    await asyncio.sleep(0)
    budget.settle(1.0, 1.29)
    with pytest.raises(LimitReachedError):
        await waiting


async def test_an_exhausted_budget_says_what_was_spent_and_how_to_go_on() -> None:
    budget = Budget(1, spent_usd=0.9)
    with pytest.raises(
        LimitReachedError, match=r"limits\.max_cost_usd: \$0\.9000 of \$1 are .* raise it"
    ) as caught:
        await budget.reserve(0.6)
    assert caught.value.exit_status == 75
    await budget.reserve(0.4)


def test_a_call_that_was_not_billed_frees_what_was_set_aside_and_teaches_nothing() -> None:
    budget = Budget(1.0)
    assert budget.try_reserve(0.9)
    budget.settle(0.9, None)
    assert budget.spent_usd == 0
    assert budget.try_reserve(5.0)  # still taken for a bound that is too high


def test_no_budget_is_no_limit() -> None:
    assert Budget(None).try_reserve(1e9)


@given(st.floats(1, 5), st.floats(1, 5), st.integers(1, 16))
def test_of_a_portion_no_more_is_spent_than_it_has_nor_than_the_whole(
    maximum: float, share: float, in_flight: int
) -> None:
    whole = Budget(maximum)
    portion = Portion(whole, share, 0.0, "escalate.limits.max_cost_usd")
    spend(portion, 0.5, in_flight, bound=0.1)
    assert portion.spent_usd == pytest.approx(whole.spent_usd)
    assert portion.spent_usd <= min(maximum, share) + 1e-9
    spend(whole, 0.5, in_flight, bound=0.1)
    assert whole.spent_usd <= maximum + 1e-9


async def test_what_is_exhausted_is_named_the_portion_or_the_whole() -> None:
    whole = Budget(10.0, 9.0)
    with pytest.raises(LimitReachedError, match=r"^escalate\.limits\.max_cost_usd: \$2.00 of \$2 are spent"):
        await Portion(whole, 2.0, 2.0, "escalate.limits.max_cost_usd").reserve(1.0)
    with pytest.raises(LimitReachedError, match=r"^limits\.max_cost_usd: \$10.00 of \$10 are spent"):
        await Portion(Budget(10.0, 10.0), 2.0, 0.0, "escalate.limits.max_cost_usd").reserve(1.0)


async def test_a_request_waits_for_the_bills_of_the_other_model_where_the_whole_may_not_be_enough() -> None:
    whole = Budget(1.0)
    portion = Portion(whole, None, 0.0, "escalate.limits.max_cost_usd")
    assert whole.try_reserve(0.04)
    waiting = asyncio.create_task(portion.reserve(0.5))
    await asyncio.sleep(0)
    assert not waiting.done()
    whole.settle(0.04, 0.01)
    await waiting
