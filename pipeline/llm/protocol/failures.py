"""What class a failure is of, by what its body says first: code, type, message, and only then the HTTP status.

Endpoints differ most in how they fail; the words below are those that they use.
"""

from collections.abc import Iterable
from typing import Any

from pipeline.llm.replies import FailureKind
from pipeline.records import Status

QUOTA_WORDS = (
    "insufficient_quota",
    "insufficient_credits",
    "credit_balance_exhausted",
    "spend_limit_exceeded",
)
MODEL_WORDS = ("model_not_found", "invalid_model", "model_not_available")
THROTTLE_WORDS = ("rate_limit", "slow_down", "overloaded", "too_many_requests")
TOO_LONG_WORDS = (
    "context_length_exceeded",
    "exceed_context_size",
    "string_above_max_length",
    "request_too_large",
)
FILTER_WORDS = ("content_filter", "content_policy_violation", "responsibleaipolicyviolation")

NEVER_FITS = "request too large"
"""OpenAI says it with a 429 of a request that is larger than a whole minute's tokens."""

TOO_LONG_SENTENCES = (NEVER_FITS, "context length", "context size", "context window", "too many tokens")
THROTTLE_SENTENCES = ("overloaded", "rate limit", "too many requests")
"""What a server error may say that is none: Oxen.ai's 502 can hide the 429 of the endpoint behind it."""

OPTIONAL_PARTS = ("response_format", "json_schema", "json_object", "logprobs", "structured output")

BY_STATUS: dict[int, FailureKind] = {
    401: FailureKind.DENIED,
    402: FailureKind.QUOTA,
    403: FailureKind.DENIED,
    404: FailureKind.CONFIG,
    408: FailureKind.TRANSIENT,
    409: FailureKind.TRANSIENT,
    425: FailureKind.TRANSIENT,
    429: FailureKind.THROTTLED,
    498: FailureKind.THROTTLED,  # Groq: no capacity for the flex tier
    529: FailureKind.THROTTLED,  # Anthropic: overloaded
}
OF_ALL_ROWS = (402, 429)
OF_FORM = (400, 422)
TOO_LARGE = 413
SUCCESSES = range(200, 300)
SERVER_ERRORS = range(500, 600)


def kind_of(status: int, code: str, message: str) -> FailureKind:
    """Return the class of a failure: of the signs below, the first one counts.

    Args:
        status: The HTTP status.
        code: The body's code, type and status message, in lower case.
        message: The body's sentence, in lower case.
    """
    broken = status in SERVER_ERRORS
    known = BY_STATUS.get(status)
    signs = (
        (_any(QUOTA_WORDS, code), FailureKind.QUOTA),
        (_any(MODEL_WORDS, code), FailureKind.CONFIG),
        (NEVER_FITS in message and not broken, FailureKind.ROW),
        (_any(THROTTLE_WORDS, code) or (broken and _any(THROTTLE_SENTENCES, message)), FailureKind.THROTTLED),
        (
            known is FailureKind.THROTTLED,
            FailureKind.THROTTLED,
        ),  # "too many tokens" is a matter of waiting here
        (_any(TOO_LONG_SENTENCES, message) and not broken, FailureKind.ROW),
        (status in OF_FORM and _any(OPTIONAL_PARTS, f"{code} {message}"), FailureKind.UNSUPPORTED),
        (known is not None, known or FailureKind.ROW),
        (broken, FailureKind.TRANSIENT),
        (status in SUCCESSES, FailureKind.GARBLED),
    )
    return next((kind for sign, kind in signs if sign), FailureKind.ROW)


def hidden_kind(error: Any, code: str) -> FailureKind | None:
    """Return what an error in a body of status 200 means for all rows; None if it may concern this one alone.

    OpenRouter's codes are the HTTP statuses that it does not send.
    """
    if _any(QUOTA_WORDS, code):
        return FailureKind.QUOTA
    status = error.get("code") if isinstance(error, dict) else None
    return BY_STATUS[status] if status in OF_ALL_ROWS else None


def row_status(status: int, code: str, message: str) -> Status:
    """Return how a row ends that cannot be answered; arguments as for `kind_of`."""
    if _any(FILTER_WORDS, code):
        return Status.FILTERED
    too_long = _any(TOO_LONG_WORDS, code) or _any(TOO_LONG_SENTENCES, message) or status == TOO_LARGE
    return Status.TOO_LONG if too_long else Status.ERROR


def _any(signs: Iterable[str], text: str) -> bool:
    return any(sign in text for sign in signs)
