"""From the bytes of a response to a reply or a failure.

Endpoints differ most in how they fail, so a failure is classed by what its body says first: its code, its
type, its message, and only then the HTTP status.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson

from pipeline.llm.providers.headers import retry_after
from pipeline.llm.replies import Failure, Kind, Reply, Usage
from pipeline.records import Status
from pipeline.tasks.parse import unique_keys

OK = 200
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
REDIRECTS = range(300, 400)
SERVER_ERRORS = range(500, 600)

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
TOO_LONG_SENTENCES = (
    "context length",
    "context size",
    "context window",
    "request too large",
    "too many tokens",
)
OPTIONAL_PARTS = ("response_format", "json_schema", "json_object", "logprobs", "structured output")

BY_STATUS: dict[int, Kind] = {
    401: Kind.DENIED,
    402: Kind.QUOTA,
    403: Kind.DENIED,
    404: Kind.CONFIG,
    408: Kind.TRANSIENT,
    409: Kind.TRANSIENT,
    425: Kind.TRANSIENT,
    429: Kind.THROTTLED,
    498: Kind.THROTTLED,  # Groq: no capacity for the flex tier
    529: Kind.THROTTLED,  # Anthropic: overloaded
}

MAX_TOKENS_PLAUSIBLE = 100_000_000
"""A count above it is not believed: no model reads or writes so many tokens in one request."""


def read(status: int, headers: Mapping[str, str], body: bytes) -> Reply | Failure:
    """Return what the endpoint said."""
    if status in REDIRECTS:
        where = headers.get("location", "elsewhere").partition("?")[0]
        return Failure(
            Kind.CONFIG, f"the endpoint redirects to {where[:200]}; set model.base_url to it", status
        )
    found = _decode(body)
    if status == OK:
        return _read_reply(found, body)
    return _read_failure(status, headers, found)


def _decode(body: bytes) -> Any:
    """Return the JSON in *body*, or None. A key that stands twice makes it none: which one was meant?"""
    body = body.removeprefix(BYTE_ORDER_MARK)
    try:
        found = orjson.loads(body)
        if _may_repeat_keys(body):
            json.loads(body, object_pairs_hook=unique_keys)
    except ValueError:
        return None
    return found


def _may_repeat_keys(body: bytes) -> bool:
    """Look for the keys that matter; counting costs a thousandth of a second reading."""
    contents = 2 if b'"logprobs"' in body else 1
    return body.count(b'"choices"') > 1 or body.count(b'"message"') > 1 or body.count(b'"content"') > contents


def _read_reply(found: Any, body: bytes) -> Reply | Failure:
    try:
        choice = found["choices"][0]
        message = choice["message"]
        text = _text(message.get("content"))
        finish, refusal = choice.get("finish_reason"), message.get("refusal")
        if text is None and not refusal and finish not in {"content_filter", "length"}:
            return replace(_garbled("its reply is empty"), usage=_usage(found.get("usage")))
        status, error = _verdict(finish, refusal)
        return Reply(
            text=text,
            finish=finish if isinstance(finish, str) else None,
            status=status,
            error=error,
            usage=_usage(found.get("usage")),
            model=_string(found.get("model")),
            request_id=_string(found.get("id")),
            logprobs=_logprobs(choice.get("logprobs")),
        )
    except (KeyError, IndexError, TypeError, AttributeError, ValueError):
        return _unreadable(found, body)


def _unreadable(found: Any, body: bytes) -> Failure:
    """Class a body of status 200 that has no reply in it."""
    if isinstance(found, dict) and found.get("error"):
        code, message = _error(found)
        if any(word in code for word in QUOTA_WORDS):
            return Failure(Kind.QUOTA, message, OK)
        return _garbled(f"it holds an error: {message}")
    if found is not None:
        return _garbled("it is not a chat completion")
    return _garbled("its body is empty" if not body.strip() else "its body is not whole JSON")


def _garbled(why: str) -> Failure:
    return Failure(Kind.GARBLED, f"the endpoint answered 200 and {why}", OK)


def _verdict(finish: Any, refusal: Any) -> tuple[Status | None, str | None]:
    if finish == "content_filter":
        return Status.FILTERED, "the provider's content filter stopped the reply"
    if refusal:
        return Status.REFUSED, f"the model refused: {str(refusal)[:200]}"
    return None, None


def _text(content: Any) -> str | None:
    """Return the reply's text; content may be a string or a list of parts."""
    if isinstance(content, list):
        content = "".join(part["text"] for part in content if part.get("type", "text") == "text")
    if content is not None and not isinstance(content, str):
        raise TypeError
    return content or None


def _logprobs(found: Any) -> str | None:
    content = found.get("content") if isinstance(found, dict) else None
    if not content:
        return None
    pairs = [[str(item["token"]), round(float(item["logprob"]), 4)] for item in content]
    return orjson.dumps(pairs).decode()


def _usage(found: Any) -> Usage:
    if not isinstance(found, dict):
        return Usage()
    details = found.get("prompt_tokens_details")
    cost = found.get("cost")
    return Usage(
        prompt_tokens=_count(found.get("prompt_tokens")),
        cached_tokens=_count(details.get("cached_tokens")) if isinstance(details, dict) else None,
        completion_tokens=_count(found.get("completion_tokens")),
        cost_usd=float(cost) if type(cost) in (int, float) and cost >= 0 else None,
    )


def _count(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value <= MAX_TOKENS_PLAUSIBLE else None


def _string(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _read_failure(status: int, headers: Mapping[str, str], found: Any) -> Failure:
    code, message = _error(found)
    text = f"{status}: {message}" if message else f"status {status}"
    kind = _kind(status, code, message.lower())
    if kind is not Kind.ROW:
        return Failure(kind, text, status, retry_after(headers))
    return Failure(Kind.ROW, text, status, row_status=_row_status(status, code, message.lower()))


def _kind(status: int, code: str, message: str) -> Kind:
    if any(word in code for word in QUOTA_WORDS):
        return Kind.QUOTA
    if any(word in code for word in MODEL_WORDS):
        return Kind.CONFIG
    if any(sentence in message for sentence in TOO_LONG_SENTENCES) and status not in SERVER_ERRORS:
        return Kind.ROW
    if any(word in code for word in THROTTLE_WORDS):
        return Kind.THROTTLED
    if status in {400, 422} and any(part in message or part in code for part in OPTIONAL_PARTS):
        return Kind.UNSUPPORTED
    if status in SERVER_ERRORS:
        return BY_STATUS.get(status, Kind.TRANSIENT)
    return BY_STATUS.get(status, Kind.GARBLED if status < 300 else Kind.ROW)  # noqa: PLR2004


def _row_status(status: int, code: str, message: str) -> Status:
    if any(word in code for word in FILTER_WORDS):
        return Status.FILTERED
    too_long = any(word in code for word in TOO_LONG_WORDS) or any(
        word in message for word in TOO_LONG_SENTENCES
    )
    return Status.TOO_LONG if too_long or status == 413 else Status.ERROR  # noqa: PLR2004


def _error(found: Any) -> tuple[str, str]:
    """Return the code (with the type and status message, in lower case) and the sentence of an error body.

    Three envelopes are known: {"error": {...}}, {"error": "sentence"}, and the error's fields at the top.
    """
    if not isinstance(found, dict):
        return "", ""
    error = found.get("error")
    fields = error if isinstance(error, dict) else found
    words = [fields.get("code"), fields.get("type"), found.get("status_message")]
    code = " ".join(str(word) for word in words if word).lower()
    sentences = (
        [error] if isinstance(error, str) else [fields.get(name) for name in ("message", "title", "detail")]
    )
    message = "; ".join(str(sentence) for sentence in sentences if sentence)
    return code, message[:300] or code[:300]
