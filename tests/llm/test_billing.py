"""A cost comes from the best source there is, and no budget is kept without one."""

from typing import Any

import pytest

from pipeline.config import ModelSettings
from pipeline.errors import ConfigError
from pipeline.llm.billing import Billing, charged_usd
from pipeline.llm.replies import Failure, FailureKind, Reply, Usage

USAGE = Usage(1_000_000, 0, 0)
OXEN = {"pricing": {"method": "token", "input_cost_per_token": 2e-7, "output_cost_per_token": 5e-7}}
NO_MODEL = Failure(FailureKind.CONFIG, "404")


def billing(*, capped: bool = False, **model: Any) -> Billing:
    return Billing(ModelSettings.model_validate(model), capped=capped)


def test_the_list_price_holds_until_the_endpoint_gives_a_price() -> None:
    bill = billing()
    assert (bill.cost(USAGE), bill.source) == (pytest.approx(0.10), "table")
    bill.learn(NO_MODEL)
    assert bill.source == "table"
    bill.learn(OXEN)
    assert (bill.cost(USAGE), bill.source) == (pytest.approx(0.20), "endpoint")


def test_a_price_in_the_config_wins_over_the_endpoints() -> None:
    bill = billing(price={"input": 7, "output": 8})
    bill.learn(OXEN)
    assert (bill.cost(USAGE), bill.source) == (pytest.approx(7), "config")


def test_the_cost_in_a_reply_wins() -> None:
    bill = billing(price={"input": 7, "output": 8})
    assert (bill.cost(Usage(10, 0, 1, 0.5)), bill.source) == (0.5, "reply")


def test_a_list_price_is_not_taken_for_another_provider_of_the_same_name() -> None:
    own = billing(provider="openai-compatible", base_url="http://127.0.0.1:9/v1")
    assert (own.price, own.source, own.cost(USAGE)) == (None, None, None)


def test_openrouters_prices_are_strings() -> None:
    bill = billing(name="unknown")
    bill.learn({"pricing": {"prompt": "0.000001", "completion": "0.000002"}})
    assert bill.cost(Usage(1_000_000, 0, 1_000_000)) == pytest.approx(3)


@pytest.mark.parametrize(
    "model_object",
    [
        {},
        {"pricing": None},
        {"pricing": []},
        {"pricing": {"input_cost_per_token": None, "output_cost_per_token": 1e-7}},
        {"pricing": {"input_cost_per_token": -1, "output_cost_per_token": 1e-7}},
        {"pricing": {"input_cost_per_token": "nan", "output_cost_per_token": 1e-7}},
        {"pricing": {"input_cost_per_token": 5, "output_cost_per_token": 5}},
        {"pricing": {"prompt": "-1", "completion": "-1"}},
    ],
)
def test_a_price_that_cannot_be_is_none(model_object: dict[str, Any]) -> None:
    bill = billing(name="unknown")
    bill.learn(model_object)
    assert bill.price is None


def test_unknown_tokens_have_no_cost() -> None:
    assert billing().cost(Usage(None, None, 5)) is None


def test_an_estimate_rounds_the_reply_up_and_is_0_without_a_price() -> None:
    assert billing().estimate(1000, 4.5) == pytest.approx(1000 * 1e-7 + 5 * 4e-7)
    assert billing(name="unknown").estimate(1000, 5) == 0


def test_where_only_replies_report_costs_the_highest_is_the_estimate() -> None:
    bill = billing(name="unknown")
    for cost in (0.1, 0.3, 0.2):
        bill.cost(Usage(1, 0, 1, cost))
    assert bill.estimate(1, 1) == 0.3


def test_a_budget_needs_a_price() -> None:
    billing(name="unknown").ensure_priced()
    billing(capped=True).ensure_priced()
    with pytest.raises(ConfigError, match=r"max_cost_usd is set.*set model\.price"):
        billing(capped=True, name="unknown").ensure_priced()


def test_a_reply_of_unknown_cost_is_charged_its_estimate_and_a_failure_nothing() -> None:
    def reply(cost: float | None) -> Reply:
        return Reply("x", "stop", None, None, Usage(cost_usd=cost), None, None, None)

    assert charged_usd(reply(0.5), 0.2) == 0.5
    assert charged_usd(reply(0.0), 0.2) == 0
    assert charged_usd(reply(None), 0.2) == 0.2
    assert charged_usd(NO_MODEL, 0.2) == 0
    assert charged_usd(Failure(FailureKind.GARBLED, "x", usage=Usage(cost_usd=0.3)), 0.2) == 0.3
    assert charged_usd(None, 0.2) == 0
