"""HTTP/1.1 as values and bytes, without any I/O.

A reply is a Response, which is well formed, or a Wire: bytes, pauses and an end, so that a server can
misbehave in every way that TCP allows.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus

from pipeline.servers.simulator.response import Response, Tokens

__all__ = ["End", "Request", "Response", "Wire", "parse_head", "render"]

MAX_BODY_BYTES = 256 * 1024 * 1024
HEADER = re.compile(rb"([^:\r\n]+):[ \t]*([^\r\n]*?)[ \t]*(?:\r\n|$)")
PHRASES = {status.value: status.phrase for status in HTTPStatus}
BODILESS = frozenset({204, 304})


class End(Enum):
    """What happens to the connection after the last byte."""

    KEEP = "stays open for the next request"
    FIN = "is closed"
    RESET = "is reset"
    SILENCE = "stays open and says nothing more"


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it came.

    Attributes:
        method: In upper case.
        path: With its query.
        headers: Names in lower case.
        body: Raw bytes.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Wire:
    """Exactly what goes over the wire.

    Attributes:
        first: Bytes sent at once.
        rest: Pieces sent after it, one after each pause; read only as fast as the peer reads.
        pause: Seconds.
        end: What happens then.
        status: HTTP status that `first` holds, for the log; 0 for none.
        billed: Tokens on the bill, or None.
        delay: Seconds until the first byte; None takes the server's latency.
    """

    first: bytes
    rest: Iterable[bytes] = ()
    pause: float = 0.0
    end: End = End.KEEP
    status: int = 0
    billed: Tokens | None = None
    delay: float | None = None


def render(response: Response, headers: tuple[tuple[str, str], ...] = ()) -> bytes:
    """Return the bytes of *response* with *headers* added."""
    status = response.status
    head = f"HTTP/1.1 {status} {PHRASES.get(status, 'Unknown')}\r\n"
    if not any(name.lower() == "content-type" for name, _ in response.headers):
        head += "Content-Type: application/json\r\n"
    for name, value in response.headers + headers:
        head += f"{name}: {value}\r\n"
    if status in BODILESS:
        return (head + "\r\n").encode("latin-1")
    return f"{head}Content-Length: {len(response.body)}\r\n\r\n".encode("latin-1") + response.body


def parse_head(head: bytes) -> tuple[str, str, dict[str, str], int]:
    """Return method, path, headers and body length.

    Raises:
        ValueError: It is no HTTP/1.1 head, or the body has no usable length.
    """
    line, _, fields = head.partition(b"\r\n")
    method, path, version = line.decode("latin-1").split(" ")
    if not version.startswith("HTTP/1."):
        raise ValueError(f"no HTTP/1.1 but {version}")
    headers = {
        name.decode("latin-1").lower(): value.decode("latin-1") for name, value in HEADER.findall(fields)
    }
    length = int(headers.get("content-length", "0"))
    if "transfer-encoding" in headers or not 0 <= length <= MAX_BODY_BYTES:
        raise ValueError("the body has no length, or one that is too large")
    return method.upper(), path, headers, length
