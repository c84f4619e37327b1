"""A cost comes from the best source there is, and no budget is kept without one."""

import logging
from typing import Any

import pytest

from pipeline.config import ModelSettings
from pipeline.errors import ConfigError
from pipeline.llm.billing import Billing
from pipeline.llm.pacing.tokens import TokenEstimate
from pipeline.llm.replies import NO_USAGE, Failure, FailureKind, Reply, Usage
from pipeline.llm.request import Counters, Request
from pipeline.llm.transport.client import Client
from pipeline.records import Prompt
from tests.answers import answer

USAGE = Usage(1_000_000, 0, 0)
OXEN = {"pricing": {"method": "token", "input_cost_per_token": 2e-7, "output_cost_per_token": 5e-7}}
NO_MODEL = Failure(FailureKind.CONFIG, "404")
REQUEST = Request(Prompt(b"", "a text", truncated=False))


def billing(*, capped: bool = False, **model: Any) -> Billing:
    return Billing(ModelSettings.model_validate(model), capped=capped)


def reply(usage: Usage) -> Reply:
    return Reply("x", "stop", None, None, usage, None, None, None)


def test_the_list_price_holds_until_the_endpoint_gives_a_price() -> None:
    bill = billing()
    bill.learn(NO_MODEL)
    assert (bill.cost(USAGE), bill.source) == (pytest.approx(0.10), "catalog")
    bill.learn(OXEN)
    assert (bill.cost(USAGE), bill.source) == (pytest.approx(0.20), "endpoint")
    bill.learn({})
    assert bill.source == "endpoint"


def test_a_price_in_the_config_wins_over_the_endpoints() -> None:
    bill = billing(price={"input": 7, "output": 8})
    bill.learn(OXEN)
    assert (bill.cost(USAGE), bill.source) == (pytest.approx(7), "config")


def test_the_cost_in_a_reply_wins() -> None:
    bill = billing(price={"input": 7, "output": 8})
    assert (bill.cost(Usage(10, 0, 1, 0.5)), bill.source) == (0.5, "reply")


def test_a_told_0_is_believed_only_where_no_price_says_otherwise(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    bill = billing(price={"input": 7, "output": 8})
    free = Usage(1_000_000, 0, 0, 0.0)
    assert [bill.cost(free), bill.cost(free), bill.source] == [7, 7, "config"]
    assert [record.message for record in caplog.records if "tells a cost of 0" in record.message][1:] == []
    assert "tells a cost of 0, but its tokens cost $7.00 by the price from config" in caplog.text
    for unknown in (billing(name="unknown"), billing(price={"input": 0, "output": 0})):
        assert (unknown.cost(free), unknown.source) == (0, "reply")


def test_a_list_price_is_not_taken_for_another_provider_of_the_same_name() -> None:
    own = billing(provider="openai-compatible", base_url="http://127.0.0.1:9/v1")
    assert (own.price, own.source, own.cost(USAGE)) == (None, None, None)


def test_unknown_tokens_have_no_cost() -> None:
    assert billing().cost(Usage(None, None, 5)) is None


def test_a_request_sets_aside_a_token_a_byte_and_the_whole_ceiling() -> None:
    estimate = TokenEstimate("", 0)
    text = "x" * 4000
    request = Request(Prompt(b"", text, truncated=False))
    bound = billing(capped=True).bound_usd(estimate, request, 32)
    assert bound == pytest.approx(4200 * 1e-7 + 32 * 4e-7)
    assert billing(capped=True).bound_usd(estimate, request, 128) > bound
    assert billing(capped=True, name="unknown").bound_usd(estimate, request, 32) > 0
    assert billing().bound_usd(estimate, request, 32) == 0


def test_a_second_ask_has_a_reply_of_twice_the_length() -> None:
    estimate, first = TokenEstimate("", 32), Request(Prompt(b"", "text", truncated=False))
    second = first._replace(previous=answer())
    bills = billing(capped=True)
    more = bills.bound_usd(estimate, second, 32) - bills.bound_usd(estimate, first, 32)
    assert more == pytest.approx(32 * 4e-7)


def test_a_budget_needs_a_price_or_a_reply_that_tells_its_cost() -> None:
    billing(name="unknown").ensure_priced()
    billing(capped=True).ensure_priced()
    told = billing(capped=True, name="unknown")
    with pytest.raises(ConfigError, match=r"max_cost_usd is set.*set model\.price"):
        told.ensure_priced()
    told.cost(Usage(1, 0, 1, 0.1))
    told.ensure_priced()


class Endpoint(Client):
    """An endpoint that tells *about* as its object about the model."""

    def __init__(self, about: Any = NO_MODEL) -> None:
        self.about, self.asked = about, 0

    async def model(self, name: str) -> Any:
        assert name
        self.asked += 1
        return self.about


async def test_before_anything_is_sent_it_is_said_that_the_first_reply_decides(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    await billing(name="unknown").ask(Endpoint())
    await billing(capped=True).ask(Endpoint())
    await billing(capped=True, name="unknown").ask(Endpoint(OXEN))
    await billing(capped=True, name="unknown", price={"input": 1, "output": 1}).ask(Endpoint())
    assert caplog.text == ""
    await billing(capped=True, name="unknown").ask(Endpoint())
    assert "no price is known for 'unknown'; unless its first reply tells what it cost" in caplog.text


async def test_a_provider_that_tells_no_price_is_not_even_asked_for_an_unknown_model_with_a_budget() -> None:
    endpoint = Endpoint()
    with pytest.raises(ConfigError):
        await billing(capped=True, provider="openai", name="unknown").ask(endpoint)
    assert endpoint.asked == 0


@pytest.mark.parametrize(
    ("first", "asked"),
    [(NO_MODEL, 1), ({}, 1), (Failure(FailureKind.TRANSIENT, "503"), 2)],
)
async def test_with_a_budget_only_an_endpoint_that_could_not_answer_is_asked_once_more(
    first: Any, asked: int
) -> None:
    endpoint, bill = Endpoint(first), billing(capped=True, name="unknown")
    await bill.ask(endpoint)
    with pytest.raises(ConfigError):
        await bill.ask_once_more(endpoint)
    assert endpoint.asked == asked


def test_the_price_is_asked_for_again_after_the_first_reply_of_unknown_cost_and_then_rarely() -> None:
    bill, asked = billing(name="unknown"), []
    for number in range(1, 1001):
        bill.priced(reply(Usage(9, 0, 1) if number % 2 else NO_USAGE), Counters())
        if bill.ask_again:
            asked.append(number)
            bill.ask_again = False
    assert asked == [1, 10, 100, 1000]


@pytest.mark.parametrize(
    ("known", "usage"),
    [(billing(), Usage(9, 0, 1)), (billing(), NO_USAGE), (billing(name="unknown"), Usage(9, 0, 1, 0.1))],
)
def test_a_price_that_is_known_or_told_is_not_asked_for(known: Billing, usage: Usage) -> None:
    known.priced(reply(usage), Counters())
    assert not known.ask_again


def test_a_reply_of_unknown_cost_is_charged_an_estimate_and_a_failure_nothing() -> None:
    bill, estimate = billing(), TokenEstimate("a system message", 32)
    assert bill.charge(reply(Usage(cost_usd=0.5)), REQUEST, estimate) == 0.5
    assert bill.charge(reply(Usage(cost_usd=0.0)), REQUEST, estimate) == 0
    assert bill.charge(reply(NO_USAGE), REQUEST, estimate) == pytest.approx(
        estimate.prompt("a text") * 1e-7 + 33 * 4e-7
    )
    assert bill.charge(NO_MODEL, REQUEST, estimate) is None
    assert bill.charge(Failure(FailureKind.GARBLED, "x", usage=Usage(cost_usd=0.3)), REQUEST, estimate) == 0.3
    assert bill.charge(None, REQUEST, estimate) is None


def test_where_only_replies_tell_costs_the_highest_of_them_is_charged() -> None:
    bill = billing(name="unknown")
    for cost in (0.1, 0.3, 0.2):
        bill.cost(Usage(1, 0, 1, cost))
    assert bill.charge(reply(NO_USAGE), REQUEST, TokenEstimate("", 32)) == 0.3
