"""What the simulator sends, as values: a reply with the tokens that it bills, or nothing."""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import orjson

Headers = tuple[tuple[str, str], ...]

INVALID = "invalid_request_error"
"""OpenAI's type of an error that the request caused."""


class Tokens(NamedTuple):
    """What one reply is billed for.

    Attributes:
        prompt: Tokens of all messages' contents.
        completion: Tokens of the reply's content.
    """

    prompt: int
    completion: int


@dataclass(frozen=True, slots=True)
class Response:
    """A well-formed reply.

    Attributes:
        status: HTTP status.
        body: Sent with its Content-Length.
        headers: Further ones, in their order; Content-Type is application/json unless it is among them.
        billed: Tokens that are billed, or None.
        delay: Seconds until the first byte; None takes the server's latency.
    """

    status: int = 200
    body: bytes = b""
    headers: Headers = ()
    billed: Tokens | None = None
    delay: float | None = None


@dataclass(frozen=True, slots=True)
class NoReply:
    """A connection on which nothing is sent.

    Attributes:
        hangs: Whether it stays open; otherwise it is closed.
        delay: Seconds until then; None takes the server's latency.
    """

    status: ClassVar[int] = 0
    billed: ClassVar[None] = None
    hangs: bool
    delay: float | None = None


def refuse(
    status: int, message: str, *, kind: str = INVALID, code: str | None = None, headers: Headers = ()
) -> Response:
    """Return an error in OpenAI's envelope, sent at once and not billed."""
    error = {"message": message, "type": kind, "param": None, "code": code}
    return Response(status, orjson.dumps({"error": error}), headers, delay=0)
