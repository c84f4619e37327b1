"""Replies with a status of success and a body that is none, or not quite."""

import codecs
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from pipeline.servers.simulator.faults import HTML, sent
from tests.faultserver.faults.call import Act, Call, Fault
from tests.faultserver.http1 import Response

DEPTH = 1_000_000

WRONG: tuple[Any, ...] = (
    [],
    42,
    "games",
    None,
    True,
    {},
    {"choices": "none"},
    {"choices": [7]},
    {"choices": [{"message": "games"}]},
    {"choices": [{"message": {"content": 42}}]},
    {"choices": [{"message": {"content": [42]}}]},
)
"""JSON that is whole and is no completion."""


def _changed(change: Callable[[bytes], bytes]) -> Act:
    """Return a fault that sends the right body with *change* made to it; it is on the bill."""

    def act(call: Call) -> Response:
        right = call.right()
        return Response(200, change(right.body), billed=right.billed)

    return act


def _doubled(call: Call) -> Response:
    right = call.reply(call.content)
    wrong = call.reply(call.saying(call.wrong_label)).body["choices"]
    body = orjson.dumps(right.body)[:-1] + b',"choices":' + orjson.dumps(wrong) + b"}"
    return Response(200, body, billed=right.tokens)


BODIES: Mapping[str, Fault] = {
    "html_200": Fault("200 with an HTML page", sent(200, b"<html><body>Welcome</body></html>", HTML)),
    "http_204": Fault("204, no content", sent(204)),
    "wrong_json": Fault(
        "200 with JSON of a wrong shape, one of eleven",
        lambda call: Response(200, orjson.dumps(call.random.choice(WRONG))),
    ),
    "deep_json": Fault(
        "200 with a million nested lists", lambda _: Response(200, b"[" * DEPTH + b"]" * DEPTH)
    ),
    "bom": Fault(
        "the right body after a byte order mark; billed", _changed(lambda body: codecs.BOM_UTF8 + body)
    ),
    "non_utf8": Fault(
        "the right body with bytes in its content that are no UTF-8; billed",
        _changed(lambda body: body.replace(b'"content":"', b'"content":"\xff\xfe', 1)),
    ),
    "nan_json": Fault(
        "the right body with NaN for a number, which is no JSON; billed",
        _changed(lambda body: body.replace(b'"index":0', b'"index":NaN', 1)),
    ),
    "duplicate_keys": Fault("the right body with `choices` twice, the second one wrong; billed", _doubled),
}
