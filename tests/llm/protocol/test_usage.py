"""What a reply was billed for is read wherever the endpoint tells it; where its numbers differ, the higher counts."""

from typing import Any

import orjson
import pytest

from pipeline.llm.protocol.reply import read
from pipeline.llm.protocol.usage import MAX_TOKENS_PLAUSIBLE, read_usage
from pipeline.llm.replies import NO_USAGE, Usage


@pytest.mark.parametrize(
    ("sent", "usage"),
    [
        (None, NO_USAGE),
        ("many", NO_USAGE),
        ({}, NO_USAGE),
        ({"prompt_tokens": -1, "completion_tokens": "5"}, NO_USAGE),
        ({"prompt_tokens": 10**18, "completion_tokens": True}, NO_USAGE),
        ({"prompt_tokens": 1.5, "completion_tokens": None}, NO_USAGE),
        ({"prompt_tokens": MAX_TOKENS_PLAUSIBLE}, Usage(MAX_TOKENS_PLAUSIBLE)),
        ({"prompt_tokens": 3, "prompt_tokens_details": None}, Usage(3)),
        ({"prompt_tokens": 3, "prompt_tokens_details": {"cached_tokens": None}}, Usage(3)),
        ({"prompt_tokens": 3, "completion_tokens": 0, "cost": 0.25}, Usage(3, None, 0, 0.25)),
        ({"cost": 0}, Usage(cost_usd=0.0)),
        ({"cost": -1}, NO_USAGE),
        ({"cost": "0.25"}, NO_USAGE),
        ({"cost": False}, NO_USAGE),
        ({"prompt_tokens": 3, "total_tokens": "9", "cost_details": 7, "cached_tokens": "2"}, Usage(3)),
    ],
)
def test_usage_is_what_can_be_believed(sent: Any, usage: Usage) -> None:
    assert read_usage(sent) == usage


@pytest.mark.parametrize(
    ("told", "total", "completion"),
    [(5, 1105, 1005), (1005, 1105, 1005), (5, 100, 5), (5, None, 5), (None, 140, 40), (5, 10**18, None)],
)
def test_thinking_that_only_the_total_shows_counts_as_completion(
    told: int | None, total: int | None, completion: int | None
) -> None:
    sent = {"prompt_tokens": 100, "completion_tokens": told, "total_tokens": total}
    assert read_usage(sent).completion_tokens == completion


@pytest.mark.parametrize(
    "told",
    [
        {"prompt_tokens": 100, "prompt_tokens_details": {"cached_tokens": 64}},
        {"prompt_tokens": 100, "prompt_cache_hit_tokens": 64, "prompt_cache_miss_tokens": 36},
        {"prompt_tokens": 100, "cache_read_input_tokens": 64},
        {"prompt_tokens": 100, "cached_tokens": 64},
        {"input_tokens": 100, "input_tokens_details": {"cached_tokens": 64}},
        {"input_tokens": 30, "cache_read_input_tokens": 64, "cache_creation_input_tokens": 6},
    ],
)
def test_cached_tokens_are_among_the_prompts_whatever_they_are_called(told: dict[str, Any]) -> None:
    assert read_usage(told) == Usage(100, 64)


def test_tokens_are_read_under_their_newer_names() -> None:
    assert read_usage({"input_tokens": 100, "output_tokens": 5, "total_tokens": 110}) == Usage(100, None, 10)


@pytest.mark.parametrize(
    ("told", "usd"),
    [
        ({"cost": 0, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.036}}, 0.036),
        ({"cost": 0.002, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.001}}, 0.003),
        ({"cost": 0.95, "cost_details": {"upstream_inference_cost": 19}}, 19.95),
        ({"cost": 0.036, "is_byok": False, "cost_details": {"upstream_inference_cost": 0.036}}, 0.036),
        ({"cost": 0.036, "cost_details": {"upstream_inference_cost": 0.036}}, 0.036),
        ({"cost": 0.036, "is_byok": False, "cost_details": {"upstream_inference_cost": None}}, 0.036),
        ({"cost_details": {"upstream_inference_cost": 0.036}}, 0.036),
        ({"cost": {"input_tokens_cost": 0.001, "total_cost": 0.006}}, 0.006),
        ({"estimated_cost": 0.004}, 0.004),
    ],
)
def test_what_a_provider_bills_apart_from_the_router_is_added_once(told: dict[str, Any], usd: float) -> None:
    assert read_usage(told).cost_usd == pytest.approx(usd)


@pytest.mark.parametrize(
    ("header", "usage", "usd"),
    [
        ("0.00025", {"prompt_tokens": 3}, 0.00025),
        ("0.00025", None, 0.00025),
        ("0.00025", {"cost": 0.5}, 0.5),
        ("None", {"prompt_tokens": 3}, None),
        ("nan", {"prompt_tokens": 3}, None),
        ("-1", {"prompt_tokens": 3}, None),
    ],
)
def test_a_cost_in_a_header_is_read_where_the_body_tells_none(
    header: str, usage: Any, usd: float | None
) -> None:
    choice = {"message": {"content": "games"}, "finish_reason": "stop"}
    for body in ({"choices": [choice], "usage": usage}, {"choices": [{"message": {}}], "usage": usage}):
        outcome = read(200, {"x-litellm-response-cost": header}, orjson.dumps(body))
        assert outcome.usage.cost_usd == usd
