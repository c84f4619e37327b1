"""What each fault sends in place of the right answer."""

from collections.abc import Callable, Mapping
from email.utils import formatdate
from time import time
from typing import Any

import orjson

from pipeline.config.simulate.faults import Fault
from pipeline.servers.protocol.errors import INVALID
from pipeline.servers.protocol.http import Headers
from pipeline.servers.simulator.call import Act, Call
from pipeline.servers.simulator.chat import content_of
from pipeline.servers.simulator.response import NoReply, Response, refuse

HTML: Headers = (("Content-Type", "text/html"),)
RETRY_SECONDS = 2

NO_CREDITS = {
    "error": {
        "type": "insufficient_credits",
        "title": "Insufficient credits",
        "detail": "Add credits to continue.",
    },
    "status": "error",
    "status_message": "insufficient_credits",
}
"""Oxen's envelope."""

HIDDEN_ERROR = {"error": {"message": "Provider returned error", "code": 502}}
"""As OpenRouter passes on a failure of a provider behind it."""


def sent(status: int, body: bytes = b"", headers: Headers = ()) -> Act:
    """Return an act that always sends the same, after the usual latency."""
    response = Response(status, body, headers)
    return lambda _: response


def failed(status: int, message: str, *, kind: str = "server_error", code: str | None = None) -> Act:
    """Return an act that answers *status* in OpenAI's envelope, after the usual latency."""
    return sent(status, refuse(status, message, kind=kind, code=code).body)


def limited(*headers: tuple[str, str]) -> Act:
    """Return an act that answers 429 with *headers*, at once."""
    response = refuse(429, "Rate limit reached", kind="requests", code="rate_limit_exceeded", headers=headers)
    return lambda _: response


def saying(content: Callable[[Call], str | None], finish: str = "stop") -> Act:
    """Return an act that sends a completion with other *content*; it is billed."""
    return lambda call: call.reply(content(call), finish).response()


def _limited_until(call: Call) -> Response | NoReply:
    # formatdate cuts the fraction; one second more keeps the date from being too early.
    date = formatdate(time() + RETRY_SECONDS + 1, usegmt=True)
    return limited(("Retry-After", date))(call)


def _no_model(call: Call) -> Response:
    message = f"The model {call.ask.model!r} does not exist or you do not have access to it."
    return refuse(404, message, code="model_not_found")


def _too_long(call: Call) -> Response:
    message = f"This model's maximum context length is 8192 tokens, your messages have {call.ask.prompt_tokens + 8192}."
    return refuse(400, message, code="context_length_exceeded")


def _cut(call: Call) -> Response:
    right = call.right()
    return Response(200, right.body[: call.random.randrange(1, len(right.body))], billed=right.billed)


def _two(call: Call) -> str:
    """Return two labels in one string if one is due, or one label twice if a list is."""
    if isinstance(call.answer, str):
        return content_of(f"{call.label}, {call.wrong_label}")
    return content_of([call.label, call.label])


def _json(body: Any) -> bytes:
    return orjson.dumps(body)


STATUSES: Mapping[str, Act] = {
    Fault.HTTP_500: failed(500, "The server had an error"),
    Fault.HTTP_502: failed(502, "Bad gateway"),
    Fault.HTTP_503: failed(503, "Service unavailable"),
    Fault.OVERLOADED: failed(503, "Slow down", kind="service_unavailable", code="slow_down"),
    Fault.HTML_502: sent(502, b"<html><h1>502 Bad Gateway</h1></html>", HTML),
    Fault.RATE_LIMIT: limited(),
    Fault.RATE_LIMIT_SECONDS: limited(("Retry-After", str(RETRY_SECONDS))),
    Fault.RATE_LIMIT_MS: limited(("retry-after-ms", "250")),
    Fault.RATE_LIMIT_DATE: _limited_until,
    Fault.QUOTA_EXHAUSTED: failed(
        429, "You exceeded your current quota", kind="insufficient_quota", code="insufficient_quota"
    ),
    Fault.INSUFFICIENT_CREDITS: sent(402, _json(NO_CREDITS)),
    Fault.UNAUTHORIZED: failed(401, "Incorrect API key provided", kind=INVALID, code="invalid_api_key"),
    Fault.MODEL_NOT_FOUND: _no_model,
    Fault.CONTEXT_LENGTH: _too_long,
    Fault.BAD_REQUEST: failed(400, "Bad request", kind=INVALID),
}

SILENCE: Mapping[str, Act] = {
    Fault.HANG: lambda _: NoReply(hangs=True, delay=0),
    Fault.DROP: lambda _: NoReply(hangs=False),
}

REPLIES: Mapping[str, Act] = {
    Fault.EMPTY_200: sent(200),
    Fault.ERROR_200: sent(200, _json(HIDDEN_ERROR)),
    Fault.CUT_JSON: _cut,
    Fault.NULL_CONTENT: saying(lambda _: None),
    Fault.LENGTH: saying(lambda call: call.content[: len(call.content) // 2], "length"),
    Fault.CONTENT_FILTER: saying(lambda _: None, "content_filter"),
    Fault.REFUSAL: lambda call: call.reply(None, refusal="I can't help with that.").response(),
    Fault.PROSE: saying(lambda call: f"The best label is {call.label}."),
    Fault.TWO_LABELS: saying(_two),
    Fault.UNKNOWN_LABEL: saying(lambda call: call.saying("no such label")),
}

ACTS: Mapping[str, Act] = {**STATUSES, **SILENCE, **REPLIES}
