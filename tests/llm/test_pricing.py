"""A reply costs what its tokens cost at the price."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.llm.pricing import TABLE, per_million

counts = st.integers(0, 10**7)


def test_a_million_tokens_of_each_kind_cost_what_the_price_says() -> None:
    price = per_million(0.10, 0.40, 0.025, "config")
    million = 1_000_000
    assert price.cost(million, 0, 0) == pytest.approx(0.10)
    assert price.cost(million, million, 0) == pytest.approx(0.025)
    assert price.cost(0, 0, million) == pytest.approx(0.40)


def test_without_a_price_for_cached_tokens_there_is_no_discount() -> None:
    price = per_million(0.10, 0.40, None, "endpoint")
    assert price.cost(1000, 600, 5) == pytest.approx(price.cost(1000, 0, 5))


def test_the_default_model_has_a_list_price_under_its_names() -> None:
    names = ("gpt-4-1-nano-2025-04-14", "gpt-4.1-nano-2025-04-14", "gpt-4.1-nano")
    assert {TABLE[name].source for name in names} == {"table"}


@given(counts, counts, counts)
def test_a_cost_is_never_negative_and_grows_with_the_tokens(
    prompt: int, cached: int, completion: int
) -> None:
    price = per_million(0.10, 0.40, 0.025, "table")
    cost = price.cost(prompt, cached, completion)
    assert cost >= 0
    assert price.cost(prompt + 1, cached, completion + 1) > cost
