"""Reading a response: from its bytes to a reply or a failure."""

import json
from collections.abc import Mapping
from dataclasses import replace
from math import floor
from typing import Any

import orjson

from pipeline.llm.protocol.failures import hidden_kind, kind_of, row_status
from pipeline.llm.protocol.headers import retry_after
from pipeline.llm.protocol.usage import COST_HEADER, read_usage, with_told_cost
from pipeline.llm.replies import Failure, FailureKind, Reply
from pipeline.records import Status
from pipeline.tasks.parse import unique_keys

OK = 200
REDIRECTS = range(300, 400)
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def read(status: int, headers: Mapping[str, str], body: bytes) -> Reply | Failure:
    """Return the reply or the failure that a whole response is; never raises for its content."""
    if status in REDIRECTS:
        where = headers.get("location", "elsewhere").partition("?")[0]
        return Failure(
            FailureKind.CONFIG, f"the endpoint redirects to {where[:200]}; set model.base_url to it", status
        )
    found = _decode(body)
    if status == OK:
        reply = _read_reply(found, body)
        return with_told_cost(reply, headers) if COST_HEADER in headers else reply
    return _read_failure(status, headers, found)


def _decode(body: bytes) -> Any:
    """Return the JSON in *body*; None if it is invalid or a key occurs twice, which makes it ambiguous."""
    body = body.removeprefix(BYTE_ORDER_MARK)
    try:
        found = orjson.loads(body)
        if _may_repeat_keys(body):
            json.loads(body, object_pairs_hook=unique_keys)
    except (ValueError, RecursionError):
        return None
    return found


def _may_repeat_keys(body: bytes) -> bool:
    """Return whether a key that matters may occur twice."""
    # Counting bytes costs a thousandth of parsing a second time, which is left to the rare body that may need it.
    contents = 2 if b'"logprobs"' in body else 1
    return body.count(b'"choices"') > 1 or body.count(b'"message"') > 1 or body.count(b'"content"') > contents


def _read_reply(found: Any, body: bytes) -> Reply | Failure:
    try:
        choice = found["choices"][0]
        message = choice["message"]
        text = _text(message.get("content"))
        finish, refusal = choice.get("finish_reason"), message.get("refusal")
        if text is None and not refusal and finish not in {"content_filter", "length"}:
            return replace(_garbled("its reply is empty"), usage=read_usage(found.get("usage")))
        status, error = _verdict(finish, refusal)
        return Reply(
            text=text,
            finish=finish if isinstance(finish, str) else None,
            status=status,
            error=error,
            usage=read_usage(found.get("usage")),
            model=_string(found.get("model")),
            request_id=_string(found.get("id")),
            logprobs=_logprobs(choice.get("logprobs")),
        )
    except (KeyError, IndexError, TypeError, AttributeError, ValueError):
        return _unreadable(found, body)


def _unreadable(found: Any, body: bytes) -> Failure:
    """Classify a body of status 200 without a reply in it."""
    if isinstance(found, dict) and found.get("error"):
        code, message = _error(found)
        kind = hidden_kind(found["error"], code)
        return Failure(kind, message, OK) if kind else _garbled(f"it holds an error: {message}")
    if found is not None:
        return _garbled("it is not a chat completion")
    return _garbled("its body is empty" if not body.strip() else "its body is not whole JSON")


def _garbled(why: str) -> Failure:
    return Failure(FailureKind.GARBLED, f"the endpoint answered 200 and {why}", OK)


def _verdict(finish: Any, refusal: Any) -> tuple[Status | None, str | None]:
    if finish == "content_filter":
        return Status.FILTERED, "the provider's content filter stopped the reply"
    if refusal:
        return Status.REFUSED, f"the model refused: {str(refusal)[:200]}"
    return None, None


def _text(content: Any) -> str | None:
    """Return the text in *content*, which may be a string or a list of parts."""
    if isinstance(content, list):
        content = "".join(part["text"] for part in content if part.get("type", "text") == "text")
    if content is not None and not isinstance(content, str):
        raise TypeError
    return content or None


def _logprobs(found: Any) -> str | None:
    """Return [token, logprob] pairs as JSON; None if they are unreadable, as the reply is good without them."""
    try:
        tokens = [item["token"] for item in found["content"]]
        # To four decimals; `round` takes five times as long. `floor` raises for what is not finite.
        values = [floor(item["logprob"] * 10_000 + 0.5) / 10_000 for item in found["content"]]
        spelled = "".join(tokens)  # also raises if one is not a string
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    return orjson.dumps(list(zip(tokens, values, strict=True))).decode() if spelled else None


def _string(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _read_failure(status: int, headers: Mapping[str, str], found: Any) -> Failure:
    code, message = _error(found)
    text = f"{status}: {message}" if message else f"status {status}"
    kind = kind_of(status, code, message.lower())
    if kind is not FailureKind.ROW:
        return Failure(kind, text, status, retry_after(headers), code=code)
    final = row_status(status, code, message.lower())
    about_content = final is not Status.ERROR
    return Failure(FailureKind.ROW, text, status, row_status=final, code=code, about_content=about_content)


def _error(found: Any) -> tuple[str, str]:
    """Return an error body's code (with its type and status message, in lower case) and its message."""
    # Three envelopes are known: {"error": {...}}, {"error": "sentence"}, and the error's fields at the top level.
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
