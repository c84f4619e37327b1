"""The shares of rows in the bill of their request: together exactly the bill."""

import math

from hypothesis import given
from hypothesis import strategies as st

from pipeline.llm.packs.shares import shares
from pipeline.llm.replies import NO_USAGE, Usage

TOKENS = st.none() | st.integers(0, 10**7)


@given(
    TOKENS,
    TOKENS,
    st.none() | st.floats(0, 1e3),
    st.lists(st.integers(0, 10**5), min_size=1, max_size=100),
    st.integers(0, 10**4),
)
def test_the_shares_add_up_to_the_bill(
    prompt: int | None, completion: int | None, usd: float | None, sizes: list[int], prefix: int
) -> None:
    found = shares(Usage(prompt, prompt, completion, usd), sizes, prefix)
    assert len(found) == len(sizes)
    for total, name in (
        (prompt, "prompt_tokens"),
        (prompt, "cached_tokens"),
        (completion, "completion_tokens"),
    ):
        values = [getattr(each, name) for each in found]
        assert values == [None] * len(sizes) if total is None else sum(values) == total and min(values) >= 0
    dollars = [each.cost_usd for each in found]
    assert dollars == [None] * len(sizes) if usd is None else math.isclose(sum(dollars), usd, abs_tol=1e-9)


def test_a_long_text_pays_more_of_the_prompt_and_as_much_of_the_reply() -> None:
    short, long = shares(Usage(1000, 100, 10, 0.1), [10, 90], 900)
    assert (short.prompt_tokens, long.prompt_tokens) == (460, 540)
    assert (short.completion_tokens, long.completion_tokens) == (5, 5)


def test_what_was_not_billed_is_no_bill() -> None:
    assert shares(NO_USAGE, [1, 2], 3) == [NO_USAGE, NO_USAGE]
    assert all(each is NO_USAGE for each in shares(NO_USAGE, [1, 2], 3))
