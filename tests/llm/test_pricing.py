"""A reply costs what its tokens cost at the price."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.llm.pricing import endpoint_price, per_million

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


@given(counts, counts, counts)
def test_a_cost_is_never_negative_and_grows_with_the_tokens(
    prompt: int, cached: int, completion: int
) -> None:
    price = per_million(0.10, 0.40, 0.025, "catalog")
    cost = price.cost(prompt, cached, completion)
    assert cost >= 0
    assert price.cost(prompt + 1, cached, completion + 1) > cost


@pytest.mark.parametrize(
    "model_object",
    [
        {"pricing": {"method": "token", "input_cost_per_token": 1e-7, "output_cost_per_token": 4e-7}},
        {"pricing": {"prompt": "0.0000001", "completion": "0.0000004", "request": "0"}},
        {"pricing": {"hourly": 0, "input": 0.1, "output": 0.4, "base": 0}},
        {"data": {"pricing": {"prompt": "0.0000001", "completion": "0.0000004"}}},
    ],
)
def test_a_price_in_the_model_object_is_read_in_the_endpoints_names_and_unit(
    model_object: dict[str, Any],
) -> None:
    price = endpoint_price(model_object)
    assert price is not None
    assert (price.input, price.output, price.source) == (
        pytest.approx(1e-7),
        pytest.approx(4e-7),
        "endpoint",
    )


@pytest.mark.parametrize(
    "model_object",
    [
        {},
        {"pricing": None},
        {"pricing": []},
        {"data": []},
        {"pricing": {"input_cost_per_token": None, "output_cost_per_token": 1e-7}},
        {"pricing": {"input_cost_per_token": -1, "output_cost_per_token": 1e-7}},
        {"pricing": {"input_cost_per_token": "nan", "output_cost_per_token": 1e-7}},
        {"pricing": {"input_cost_per_token": 5, "output_cost_per_token": 5}},
        {"pricing": {"prompt": "-1", "completion": "-1"}},
        {"pricing": {"prompt": "0.0000001"}},
    ],
)
def test_a_price_that_cannot_be_is_none(model_object: dict[str, Any]) -> None:
    assert endpoint_price(model_object) is None
