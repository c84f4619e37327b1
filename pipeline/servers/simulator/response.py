"""What the simulator sends, as values: a reply with the tokens that it bills, or nothing."""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from pipeline.servers.protocol.errors import INVALID, BadRequestError, error_body
from pipeline.servers.protocol.http import Headers


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
    return Response(status, error_body(message, kind=kind, code=code), headers, delay=0)


def refusal_of(error: BadRequestError) -> Response:
    """Return the answer to a request that cannot be answered."""
    return Response(error.status, error_body(str(error), param=error.param, code=error.code), delay=0)
