"""Replies that go wrong on the wire: too slow, too long, or with the wrong end."""

import zlib
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from itertools import repeat

from tests.faultserver.faults.call import Act, Call, Fault
from tests.faultserver.http1 import End, Response, Wire, render

MIB = 1024 * 1024
BOMB_MIB = 300
ENDLESS_BYTES = 5 * 1024 * MIB
BIG_HEADER_BYTES = 20 * 1024
DRIP_SECONDS = 1.0

LET_READ_SECONDS = 0.05
"""Time for the peer to read what came before a reset; a reset may take unread bytes with it."""

HEAD_END = b"\r\n\r\n"


def _whole(wire: Callable[[bytes, bytes, Response], Wire]) -> Act:
    """Return a fault made of the right reply's head and body; it is on the bill."""

    def act(call: Call) -> Wire:
        right = call.right()
        head, _, body = render(right).partition(HEAD_END)
        return wire(head + HEAD_END, body, right)

    return act


def _dripping(head: bytes, body: bytes, right: Response) -> Wire:
    pieces = (bytes((byte,)) for byte in body)
    return Wire(head, pieces, pause=DRIP_SECONDS, status=200, billed=right.billed)


def _reset(head: bytes, body: bytes, right: Response) -> Wire:
    half = head + body[: len(body) // 2]
    return Wire(half, (b"",), pause=LET_READ_SECONDS, end=End.RESET, status=200, billed=right.billed)


def _ended_early(head: bytes, body: bytes, right: Response) -> Wire:
    return Wire(head + body[: len(body) // 2], end=End.FIN, status=200, billed=right.billed)


def _lengthless(_: bytes, body: bytes, right: Response) -> Wire:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"
    return Wire(head + body[: len(body) // 2], end=End.FIN, status=200, billed=right.billed)


def _stale(head: bytes, body: bytes, right: Response) -> Wire:
    return Wire(head + body, end=End.FIN, status=200, billed=right.billed)


def _big_header(head: bytes, body: bytes, right: Response) -> Wire:
    line = b"\r\nX-Padding: " + b"x" * BIG_HEADER_BYTES
    return Wire(head.removesuffix(HEAD_END) + line + HEAD_END + body, status=200, billed=right.billed)


@cache
def _bomb() -> bytes:
    """Return gzip that unpacks to 300 MiB of blanks; made piece by piece, so that it costs us no memory."""
    gzip = zlib.compressobj(level=1, wbits=zlib.MAX_WBITS | 16)
    blank = b" " * MIB
    return b"".join([gzip.compress(blank) for _ in range(BOMB_MIB)] + [gzip.flush()])


def _head(length: int) -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n".encode()


def _endless() -> Iterator[bytes]:
    return repeat(b" " * (64 * 1024), ENDLESS_BYTES // (64 * 1024))


WIRES: Mapping[str, Fault] = {
    "headers_only": Fault(
        "the head is sent and the body never", lambda _: Wire(_head(1000), end=End.SILENCE, status=200)
    ),
    "drip": Fault("the right body at one byte a second; billed", _whole(_dripping)),
    "reset_mid_body": Fault("half the right body, then a reset; billed", _whole(_reset)),
    "fin_mid_body": Fault(
        "half of the bytes that Content-Length promises, then closed; billed", _whole(_ended_early)
    ),
    "no_content_length": Fault(
        "half the right body without a length, then closed: looks whole; billed", _whole(_lengthless)
    ),
    "stale_keepalive": Fault("the right reply, then closed without a warning; billed", _whole(_stale)),
    "gzip_bomb": Fault(
        "300 KB of gzip that unpack to 300 MiB",
        lambda _: Response(200, _bomb(), (("Content-Encoding", "gzip"),)),
    ),
    "endless_body": Fault("five GiB of blanks", lambda _: Wire(_head(ENDLESS_BYTES), _endless(), status=200)),
    "big_header": Fault("the right reply with a header of 20 KB; billed", _whole(_big_header)),
}
