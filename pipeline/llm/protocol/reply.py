"""Reading a response: from its bytes to a reply or a failure."""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from math import floor
from typing import Any

import orjson

from pipeline.llm.protocol.envelope import Said, plain_text, read_error, said_in
from pipeline.llm.protocol.failures import SUCCESSES, classify
from pipeline.llm.protocol.headers import retry_after
from pipeline.llm.protocol.usage import COST_HEADER, read_usage, with_told_cost
from pipeline.llm.replies import NO_USAGE, Failure, FailureKind, Reply
from pipeline.records import Status
from pipeline.tasks.finish import Ending, ending
from pipeline.tasks.parse import unique_keys

UNTOLD_STATUS = 400
"""How an error in a body of status 200 is read that names no status."""

TEXT_PARTS = frozenset({"text", "output_text"})
ASSISTANT = "assistant"
WAITING = frozenset({FailureKind.THROTTLED, FailureKind.TRANSIENT})
REDIRECTS = range(300, 400)
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
KEEP_ALIVE = re.compile(rb"\A(?::[^\n]*\n\s*)+")
"""Comments of an event stream, with which a gateway keeps the connection open until the reply is there."""

SHOWN = 300
"""Characters of a sentence."""


def read(status: int, headers: Mapping[str, str], body: bytes) -> Reply | Failure:
    """Return the reply or the failure that a whole response is; never raises for its content."""
    if status in REDIRECTS:
        where = headers.get("location", "elsewhere").partition("?")[0]
        return Failure(
            FailureKind.CONFIG, f"the endpoint redirects to {where[:200]}; set model.base_url to it", status
        )
    if status in SUCCESSES:
        outcome = _read_reply(status, headers, _decode(body), body)
        return with_told_cost(outcome, headers) if COST_HEADER in headers else outcome
    return _refusal(status, headers, read_error(body.removeprefix(BYTE_ORDER_MARK)))


def _decode(body: bytes) -> Any:
    """Return the JSON in *body*; None if it is invalid or a key occurs twice, which makes it ambiguous."""
    body = body.removeprefix(BYTE_ORDER_MARK)
    if body.startswith(b":"):
        body = KEEP_ALIVE.sub(b"", body, count=1)
    try:
        found = orjson.loads(body)
        if _may_repeat_keys(body):
            json.loads(body, object_pairs_hook=unique_keys)
    except (ValueError, RecursionError):
        return _without_logprobs(body)
    return found


def _without_logprobs(body: bytes) -> Any:
    """Return the JSON in *body* but for log-probabilities, if nothing else in it is invalid; None if something is.

    Some servers write NaN or -Infinity there. The reply is paid, and its answer is whole.
    """
    try:
        found = json.loads(body.decode(), object_pairs_hook=unique_keys)
        for choice in found["choices"]:
            choice["logprobs"] = None
        return orjson.loads(json.dumps(found, allow_nan=False))  # also refuses a lone surrogate
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _may_repeat_keys(body: bytes) -> bool:
    """Return whether a key that matters may occur twice."""
    # Counting bytes costs a thousandth of parsing a second time, which is left to the rare body that may need it.
    contents = 2 if b'"logprobs"' in body else 1
    return body.count(b'"choices"') > 1 or body.count(b'"message"') > 1 or body.count(b'"content"') > contents


def _read_reply(status: int, headers: Mapping[str, str], found: Any, body: bytes) -> Reply | Failure:
    try:
        choices = found["choices"]
        choice = choices[0] if len(choices) == 1 else _first(choices)
        finish = choice.get("finish_reason")
        if error := choice.get("error") or found.get("error"):  # the endpoint failed while it answered
            return _hidden_error(status, headers, error, found)
        message = choice["message"]
        if message.get("role", ASSISTANT) != ASSISTANT:
            return _unreadable(status, headers, found, body)
        text = _text(message.get("content"))
        reply = Reply(  # by position: names cost a twentieth of reading a short body
            text,
            finish if isinstance(finish, str) else None,
            None,
            None,
            read_usage(found.get("usage")),
            _string(found.get("model")),
            _string(found.get("id")),
            _logprobs(choice.get("logprobs")),
        )
        if finish == "stop" and text and not text.isspace() and not message.get("refusal"):
            return reply
        return _judged(status, reply, message, found)
    except (KeyError, IndexError, TypeError, AttributeError, ValueError):
        return _unreadable(status, headers, found, body)


def _first(choices: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the choice that was asked for, of several in any order."""
    return min(choices, key=lambda choice: choice.get("index", 0))


def _judged(status: int, reply: Reply, message: dict[str, Any], found: dict[str, Any]) -> Reply | Failure:
    """Return what a completion is that has no text, or whose finish reason is not the usual one."""
    how = ending(reply.finish)
    if how is Ending.BROKEN:
        sentence = f"the endpoint answered {status} and broke the reply off (finish reason {reply.finish!r})"
        # As bounded as other replies that are no use, since each may have been paid.
        return Failure(FailureKind.GARBLED, sentence[:SHOWN], status, usage=reply.usage)
    if how is Ending.FILTERED:
        sentence = f"the provider's content filter stopped the reply (finish reason {reply.finish!r})"
        return reply._replace(status=Status.FILTERED, error=sentence[:SHOWN])
    if how is Ending.REFUSED or message.get("refusal"):
        sentence = f"the model refused: {message.get('refusal') or reply.text or 'without a word'}"
        return reply._replace(status=Status.REFUSED, error=sentence[:SHOWN])
    reply = reply._replace(reasoning_tokens=_reasoning_tokens(found.get("usage")))
    has_text = reply.text is not None and not reply.text.isspace()
    return reply if has_text or how is Ending.CUT else _without_text(status, reply, message)


def _without_text(status: int, reply: Reply, message: dict[str, Any]) -> Reply | Failure:
    """Return what a completion is that is whole and has no text: perhaps the model has only thought."""
    thoughts = _string(message.get("reasoning_content")) or _string(message.get("reasoning")) or ""
    if thoughts.strip() or reply.reasoning_tokens:
        # As a model writes it whose server does not parse it; the task's parser looks for an answer in the thoughts.
        return reply._replace(text=f"<think>{thoughts}</think>")
    return replace(_garbled(status, "its reply is empty"), usage=reply.usage) if reply.text is None else reply


def _reasoning_tokens(usage: Any) -> int:
    details = usage.get("completion_tokens_details") if isinstance(usage, dict) else None
    tokens = details.get("reasoning_tokens") if isinstance(details, dict) else None
    return tokens if type(tokens) is int and tokens > 0 else 0


def _unreadable(status: int, headers: Mapping[str, str], found: Any, body: bytes) -> Failure:
    """Classify a body of a status of success without a reply in it."""
    if isinstance(found, list) and len(found) == 1:
        found = found[0]
    if isinstance(found, dict) and (error := found.get("error") or found.get("errors")):
        return _hidden_error(status, headers, error, found)
    if isinstance(found, dict) and found.get("choices") == []:
        return replace(_garbled(status, "its list of choices is empty"), usage=read_usage(found.get("usage")))
    if found is not None:
        usage = read_usage(found.get("usage")) if isinstance(found, dict) else NO_USAGE
        fields = (
            f" but an object of {', '.join(map(repr, found))}" if isinstance(found, dict) and found else ""
        )
        why = f"it is not a chat completion{fields[:SHOWN]}; it begins {plain_text(body)[:100]!r}"
        return replace(_garbled(status, why), usage=usage)
    if not body.strip():
        return _garbled(status, "its body is empty")
    return _garbled(status, f"its body is not whole JSON; it begins {plain_text(body)[:100]!r}")


def _hidden_error(status: int, headers: Mapping[str, str], error: Any, found: dict[str, Any]) -> Failure:
    """Classify an error that came with a status of success: by the status that it names itself, else by its words."""
    said = said_in({"error": error})
    failure = _refusal(said.status or UNTOLD_STATUS, headers, said)
    if said.status is None and failure.kind is FailureKind.ROW and not failure.about_content:
        failure = _garbled(status, f"it holds an error: {said.message}")
    elif said.status is None:
        failure = replace(
            failure, message=f"the endpoint answered {status} and an error: {said.message}", status=status
        )
    return replace(failure, usage=read_usage(found.get("usage")), param=said.param, code=said.code)


def _garbled(status: int, why: str) -> Failure:
    return Failure(FailureKind.GARBLED, f"the endpoint answered {status} and {why}", status)


def _text(content: Any) -> str | None:
    """Return the text in *content*, which may be a string or a list of parts."""
    if isinstance(content, list):
        content = "".join(part["text"] for part in content if part.get("type", "text") in TEXT_PARTS)
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


def _refusal(status: int, headers: Mapping[str, str], said: Said) -> Failure:
    """Return the failure of an error *status* whose body says *said*."""
    kind, row_status, about_content = classify(status, said)
    wait = retry_after(headers)
    if kind is FailureKind.ROW and not about_content and wait is not None:
        kind = (
            FailureKind.THROTTLED
        )  # who says when to come back, in whatever words, speaks of load and not of the row
    if not wait and kind in WAITING and said.wait_seconds is not None:
        wait = said.wait_seconds
    return Failure(
        kind,
        f"{status}: {said.message}" if said.message else f"status {status}",
        status,
        retry_after=wait,
        row_status=row_status,
        param=said.param,
        code=said.code,
        about_content=about_content,
    )
