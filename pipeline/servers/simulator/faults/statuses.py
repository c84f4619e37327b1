"""Replies that say by their status that they are none."""

from collections.abc import Mapping
from email.utils import formatdate
from time import time
from typing import Any

import orjson

from pipeline.servers.chat import refuse
from pipeline.servers.simulator.faults.call import Act, Call, Fault
from pipeline.servers.simulator.http1 import Response

HTML = (("Content-Type", "text/html"),)
RETRY_SECONDS = 2

Headers = tuple[tuple[str, str], ...]


def failed(status: int, message: str, *, kind: str = "server_error", code: str | None = None) -> Act:
    """Return a fault that answers *status* in OpenAI's envelope, after the usual latency."""
    error = {"message": message, "type": kind, "param": None, "code": code}
    return _sent(status, {"error": error})


def _sent(status: int, body: Any, headers: Headers = ()) -> Act:
    response = Response(status, orjson.dumps(body), headers)
    return lambda _: response


def _limited(*headers: tuple[str, str]) -> Act:
    response = refuse(429, "Rate limit reached", kind="requests", code="rate_limit_exceeded", headers=headers)
    return lambda _: response


def _limited_until(_: Call) -> Response:
    # formatdate cuts the fraction; one second more keeps the date from standing too early.
    date = formatdate(time() + RETRY_SECONDS + 1, usegmt=True)
    return refuse(
        429,
        "Rate limit reached",
        kind="requests",
        code="rate_limit_exceeded",
        headers=(("Retry-After", date),),
    )


def _redirected(status: int) -> Act:
    return lambda call: Response(status, b"", (("Location", call.elsewhere),))


def _too_long(call: Call) -> Response:
    message = f"This model's maximum context length is 8192 tokens, your messages have {call.ask.prompt_tokens + 8192}."
    return refuse(400, message, kind="invalid_request_error", code="context_length_exceeded")


def _no_model(call: Call) -> Response:
    message = f"The model {call.ask.model!r} does not exist or you do not have access to it."
    return refuse(404, message, kind="invalid_request_error", code="model_not_found")


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

STATUSES: Mapping[str, Fault] = {
    "http_408": Fault("408, the server waited too long for the request", failed(408, "Request timeout")),
    "http_409": Fault("409, a conflict that goes away", failed(409, "Conflict")),
    "http_500": Fault("500, the server failed", failed(500, "The server had an error")),
    "http_502": Fault("502 in JSON, the server behind the gateway failed", failed(502, "Bad gateway")),
    "http_503": Fault("503, the server is loading or down", failed(503, "Service unavailable")),
    "overloaded": Fault(
        "503 with code slow_down: congestion, not a failure",
        failed(503, "Slow down", kind="service_unavailable", code="slow_down"),
    ),
    "html_502": Fault(
        "502 with a gateway's HTML page",
        lambda _: Response(502, b"<html><h1>502 Bad Gateway</h1></html>", HTML),
    ),
    "rate_limit": Fault("429 without Retry-After", _limited()),
    "rate_limit_seconds": Fault("429, Retry-After: 2", _limited(("Retry-After", str(RETRY_SECONDS)))),
    "rate_limit_ms": Fault("429, retry-after-ms: 250", _limited(("retry-after-ms", "250"))),
    "rate_limit_date": Fault("429, Retry-After as an HTTP date two to three seconds ahead", _limited_until),
    "rate_limit_junk": Fault("429, Retry-After: soon", _limited(("Retry-After", "soon"))),
    "rate_limit_negative": Fault("429, Retry-After: -1", _limited(("Retry-After", "-1"))),
    "rate_limit_huge": Fault("429, Retry-After: 1e9", _limited(("Retry-After", "1e9"))),
    "quota_exhausted": Fault(
        "429 with insufficient_quota: waiting never helps",
        failed(429, "You exceeded your current quota", kind="insufficient_quota", code="insufficient_quota"),
    ),
    "insufficient_credits": Fault("402 in Oxen's envelope: the account is empty", _sent(402, NO_CREDITS)),
    "unauthorized": Fault(
        "401, the key is refused",
        failed(401, "Incorrect API key provided", kind="invalid_request_error", code="invalid_api_key"),
    ),
    "forbidden": Fault("403, the key may not", failed(403, "Not allowed", kind="invalid_request_error")),
    "model_not_found": Fault("404, there is no such model", _no_model),
    "context_length": Fault("400 with context_length_exceeded", _too_long),
    "bad_request": Fault(
        "400, this request is refused", failed(400, "Bad request", kind="invalid_request_error")
    ),
    "redirect_307": Fault("307 to another origin", _redirected(307)),
    "redirect_308": Fault("308 to another origin", _redirected(308)),
}
