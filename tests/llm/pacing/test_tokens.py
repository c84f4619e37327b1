"""Token estimates lose their bias, and no single reply distorts them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.llm.pacing.tokens import TokenEstimate
from pipeline.llm.replies import Usage

TEXT = "a text of some length " * 10


def learned(factor: float, replies: int) -> float:
    """The ratio of estimate to truth, after some replies with *factor* times as many tokens."""
    estimate = TokenEstimate("system " * 50, 32)
    truth = int(estimate.prompt(TEXT) * factor)
    for _ in range(replies):
        estimate.learn(TEXT, Usage(truth, 0, 5))
    return estimate.prompt(TEXT) / truth


@pytest.mark.parametrize("factor", [0.5, 0.8, 1.3, 3])
def test_most_of_a_bias_is_gone_after_twenty_replies_and_all_of_it_after_a_hundred(factor: float) -> None:
    assert abs(learned(factor, 20) - 1) < abs(learned(factor, 0) - 1) * 0.15 + 0.02
    assert learned(factor, 100) == pytest.approx(1, abs=0.03)


@given(st.lists(st.integers(0, 10**8) | st.none()))
def test_nonsensical_counts_keep_the_estimate_within_bounds(counts: list[int | None]) -> None:
    estimate = TokenEstimate("system", 32)
    before = estimate.prompt(TEXT)
    for count in counts:
        estimate.learn(TEXT, Usage(count, 0, None))
        assert 1 <= estimate.prompt(TEXT) <= 20 * before + 1


def test_a_reply_counts_as_max_tokens_until_replies_report_theirs() -> None:
    estimate = TokenEstimate("", 32)
    assert estimate.completion == 32
    for _ in range(100):
        estimate.learn("a word", Usage(10, 0, 5))
    assert estimate.completion == pytest.approx(5, abs=0.1)


def test_against_the_quota_the_larger_of_prompt_and_max_tokens_counts() -> None:
    estimate = TokenEstimate("", 32)
    assert (estimate.quota("x"), estimate.quota(TEXT)) == (32, estimate.prompt(TEXT))
    assert estimate.prompt(TEXT) > 32


def test_unknown_usage_changes_nothing() -> None:
    estimate = TokenEstimate("system", 32)
    before = (estimate.prompt(TEXT), estimate.completion)
    estimate.learn(TEXT, Usage())
    assert (estimate.prompt(TEXT), estimate.completion) == before


def test_small_and_large_texts_are_both_estimated_right() -> None:
    """What surrounds every text is not counted as a share of the large ones."""
    estimate = TokenEstimate("system", 32)
    for size in [40, 30_000, 90, 8_000] * 10:
        estimate.learn("x" * size, Usage(150 + size // 4, 0, 5))
    for size in (40, 1_000, 30_000):
        assert estimate.prompt("x" * size) == pytest.approx(150 + size // 4, rel=0.05)
