"""Reading the `usage` of a response: the tokens and the money that it was billed for."""

from typing import Any, TypeGuard

from pipeline.llm.replies import NO_USAGE, Usage

MAX_USD_PLAUSIBLE = 1000.0
"""US dollars; a higher cost of one reply is not believed, or it would use up the budget."""

MAX_TOKENS_PLAUSIBLE = 100_000_000
"""A higher count is not believed: no model reads or writes so many tokens in one request."""


def read_usage(found: Any) -> Usage:
    """Read the field `usage` of a response; what is missing or implausible in it is None."""
    if not isinstance(found, dict):
        return NO_USAGE
    details = found.get("prompt_tokens_details")
    cost = found.get("cost")
    return Usage(
        prompt_tokens=_count(found.get("prompt_tokens")),
        cached_tokens=_count(details.get("cached_tokens")) if isinstance(details, dict) else None,
        completion_tokens=_count(found.get("completion_tokens")),
        cost_usd=float(cost) if _is_number(cost) and 0 <= cost <= MAX_USD_PLAUSIBLE else None,
    )


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, float | int) and not isinstance(value, bool)


def _count(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value <= MAX_TOKENS_PLAUSIBLE else None
