"""No budget is exceeded, not even by what is in flight."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import LimitReachedError
from pipeline.llm.pacing.budget import Budget


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
