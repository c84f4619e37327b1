"""The tokens and the money that a response says it was billed for; where its numbers differ, the higher ones."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeGuard

from pipeline.llm.replies import NO_USAGE, Failure, Reply, Usage

MAX_USD_PLAUSIBLE = 1000.0
"""US dollars; a higher cost of one reply is not believed, or it would use up the budget."""

MAX_TOKENS_PLAUSIBLE = 100_000_000
"""A higher count is not believed: no model reads or writes so many tokens in one request."""

COST_HEADER = "x-litellm-response-cost"
"""Gateways tell a reply's US dollars in this header: LiteLLM's name for it, which others have taken over."""

CACHED = ("prompt_cache_hit_tokens", "cache_read_input_tokens", "cached_tokens")
"""Where the cached tokens may be told, if `prompt_tokens_details` does not: DeepSeek's name, Anthropic's, and others'."""


def read_usage(found: Any) -> Usage:
    """Read the field `usage` of a response; what is missing or implausible in it is None."""
    if not isinstance(found, dict):
        return NO_USAGE
    prompt = _count(found.get("prompt_tokens"))
    completion = _count(found.get("completion_tokens"))
    if prompt is None and completion is None:
        prompt, completion = _other_names(found)
    total = found.get("total_tokens")
    # Some endpoints count the model's thinking in the total only, and bill it like the rest.
    if prompt is not None and type(total) is int and total - prompt > (completion or 0):
        completion = _count(total - prompt)
    details = found.get("prompt_tokens_details")
    cached = _count(details.get("cached_tokens")) if isinstance(details, dict) else None
    return Usage(prompt, _cached(found) if cached is None else cached, completion, _cost(found))


def with_told_cost(outcome: Reply | Failure, headers: Mapping[str, str]) -> Reply | Failure:
    """Return *outcome* with the cost that its headers tell, if its body tells none; a garbled reply may have one, too."""
    usage = outcome.usage
    if usage.cost_usd is not None:
        return outcome
    try:
        told = _usd(float(headers[COST_HEADER]))
    except ValueError:
        return outcome
    if isinstance(outcome, Reply):
        return outcome.with_cost(told)
    return replace(outcome, usage=usage._replace(cost_usd=told))


def _other_names(found: dict[str, Any]) -> tuple[int | None, int | None]:
    """Return the tokens read and written under the names of OpenAI's Responses and of Anthropic's Messages."""
    prompt = _count(found.get("input_tokens"))
    if prompt is not None:
        # Only where these stand beside it, at the top level, are they not included in it.
        prompt += sum(
            _count(found.get(name)) or 0
            for name in ("cache_read_input_tokens", "cache_creation_input_tokens")
        )
    return prompt, _count(found.get("output_tokens"))


def _cached(found: dict[str, Any]) -> int | None:
    for name in CACHED:
        if name in found:
            return _count(found[name])
    details = found.get("input_tokens_details")
    return _count(details.get("cached_tokens")) if isinstance(details, dict) else None


def _cost(found: dict[str, Any]) -> float | None:
    """Return the US dollars that *found* tells, with what a provider behind a router bills apart."""
    told = found.get("cost")
    if told is None and "cost_details" not in found:
        return _usd(found.get("estimated_cost"))  # DeepInfra's name
    if isinstance(told, dict):
        return _usd(told.get("total_cost"))  # Perplexity's
    cost = _usd(told)
    details = found.get("cost_details")
    upstream = _usd(details.get("upstream_inference_cost")) if isinstance(details, dict) else None
    if upstream is None:
        return cost
    # OpenRouter's `cost` includes the provider's price, unless the provider bills an account of the user's own.
    # Then it is the router's fee alone, and lower; `is_byok` says so where it is told.
    apart = found.get("is_byok", upstream > (cost or 0.0))
    if apart is True or cost is None:
        return (cost or 0.0) + upstream
    return cost


def _usd(value: Any) -> float | None:
    return float(value) if _is_number(value) and 0 <= value <= MAX_USD_PLAUSIBLE else None


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, float | int) and not isinstance(value, bool)


def _count(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value <= MAX_TOKENS_PLAUSIBLE else None
