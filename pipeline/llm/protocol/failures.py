"""Classification of failures: by the error body's code, type and message, and only then by the HTTP status.

Endpoints differ most in how they fail; the words below are those that they are known to use.
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
"""OpenAI's message, with status 429, for a request larger than the limit of tokens per minute."""

TOO_LONG_SENTENCES = (NEVER_FITS, "context length", "context size", "context window", "too many tokens")
THROTTLE_SENTENCES = ("overloaded", "rate limit", "too many requests")
"""Messages of a throttle in a server error: Oxen.ai's 502 can hide a 429 of the provider behind it."""

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
RUN_WIDE_STATUSES = (402, 429)
FORMAT_STATUSES = (400, 422)
TOO_LARGE = 413
SUCCESSES = range(200, 300)
SERVER_ERRORS = range(500, 600)


def kind_of(status: int, code: str, message: str) -> FailureKind:
    """Return the class of a failure.

    Args:
        status: The HTTP status.
        code: The body's code, type and status message, in lower case.
        message: The body's message, in lower case.
    """
    server_error = status in SERVER_ERRORS
    known = BY_STATUS.get(status)
    # In order of precedence: the first sign that is there counts.
    signs = (
        (_any_in(QUOTA_WORDS, code), FailureKind.QUOTA),
        (_any_in(MODEL_WORDS, code), FailureKind.CONFIG),
        (NEVER_FITS in message and not server_error, FailureKind.ROW),
        (
            _any_in(THROTTLE_WORDS, code) or (server_error and _any_in(THROTTLE_SENTENCES, message)),
            FailureKind.THROTTLED,
        ),
        # Before the sentences: with status 429 "too many tokens" means to wait.
        (known is FailureKind.THROTTLED, FailureKind.THROTTLED),
        (_any_in(TOO_LONG_SENTENCES, message) and not server_error, FailureKind.ROW),
        (status in FORMAT_STATUSES and _any_in(OPTIONAL_PARTS, f"{code} {message}"), FailureKind.UNSUPPORTED),
        (known is not None, known or FailureKind.ROW),
        (server_error, FailureKind.TRANSIENT),
        (status in SUCCESSES, FailureKind.GARBLED),
    )
    return next((kind for sign, kind in signs if sign), FailureKind.ROW)


def hidden_kind(error: Any, code: str) -> FailureKind | None:
    """Return the class of an error in a body of status 200 if it concerns all rows; None if perhaps only this one.

    Args:
        error: The body's `error`, of any JSON type.
        code: As for `kind_of`.
    """
    if _any_in(QUOTA_WORDS, code):
        return FailureKind.QUOTA
    # OpenRouter puts the HTTP status that it does not send into the error's code.
    status = error.get("code") if isinstance(error, dict) else None
    return BY_STATUS[status] if status in RUN_WIDE_STATUSES else None


def row_status(status: int, code: str, message: str) -> Status:
    """Return the final status of a row that cannot be answered; arguments as for `kind_of`."""
    if _any_in(FILTER_WORDS, code):
        return Status.FILTERED
    too_long = _any_in(TOO_LONG_WORDS, code) or _any_in(TOO_LONG_SENTENCES, message) or status == TOO_LARGE
    return Status.TOO_LONG if too_long else Status.ERROR


def _any_in(words: Iterable[str], text: str) -> bool:
    return any(word in text for word in words)
