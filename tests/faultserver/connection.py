"""One client's connection: whole HTTP/1.1 requests in, exact bytes out.

One request at a time: what arrives while one is being answered waits in the buffer.
"""

import asyncio
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Protocol, cast

from tests.faultserver.http1 import End, Request, Response, Wire, parse_head, render

MAX_HEAD_BYTES = 64 * 1024

LINGER_ZERO = struct.pack("ii", 1, 0)
"""SO_LINGER on with 0 seconds: closing sends RST instead of FIN."""


class Exchange(Protocol):
    """A request's reply, and its owner's wish to know how far it got."""

    @property
    def wire(self) -> Wire:
        """What to send."""

    @property
    def delay(self) -> float:
        """Seconds to wait first."""

    def begin(self) -> None:
        """The first byte is due; called even if the client has gone, because the answer was made."""

    def end(self) -> None:
        """Nothing more will be sent."""


class Connection(asyncio.Protocol):
    """One client's connection.

    Attributes:
        lost: Done when the connection is gone.
    """

    def __init__(self, receive: Callable[[Request], Exchange], connections: "set[Connection]") -> None:
        self._receive = receive
        self._connections = connections
        self._loop = asyncio.get_running_loop()
        self.lost: asyncio.Future[None] = self._loop.create_future()
        self._buffer = bytearray()
        self._head: tuple[str, str, dict[str, str], int] | None = None
        self._exchange: Exchange | None = None
        self._begun = self._closed = self._choked = False
        self._rest: Iterator[bytes] = iter(())
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Join the open connections."""
        self._transport = cast("asyncio.Transport", transport)
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the protocol's signature
        """Leave. An answer that is still being made will be finished: it is on the bill."""
        self._closed = True
        self.lost.set_result(None)
        self._connections.discard(self)
        if self._begun:
            self._over()

    def abort(self) -> None:
        """Drop the connection and whatever is being answered on it."""
        self._over()
        self._transport.abort()

    def pause_writing(self) -> None:
        """Stop: the peer does not read."""
        self._choked = True

    def resume_writing(self) -> None:
        """Go on: the peer reads again."""
        self._choked = False
        if self._begun and self._timer is None:
            self._push()

    def data_received(self, data: bytes) -> None:
        """Take bytes; answer once a request is whole."""
        self._buffer += data
        if self._exchange is None:
            self._take()

    def _take(self) -> None:
        try:
            request = self._next_request()
        except ValueError:
            self._transport.write(
                render(Response(400, b'{"error":{"message":"not a readable HTTP request"}}'))
            )
            self._transport.close()
            return
        if request is None:
            return
        exchange = self._exchange = self._receive(request)
        if exchange.delay > 0:
            self._timer = self._loop.call_later(exchange.delay, self._begin, exchange)
        else:
            self._begin(exchange)

    def _next_request(self) -> Request | None:
        buffer = self._buffer
        if self._head is None:
            stop = buffer.find(b"\r\n\r\n")
            if stop < 0:
                if len(buffer) > MAX_HEAD_BYTES:
                    raise ValueError("the head has no end")
                return None
            self._head = parse_head(bytes(buffer[:stop]))
            del buffer[: stop + 4]
        method, path, headers, length = self._head
        if len(buffer) < length:
            return None
        body = bytes(buffer[:length])
        del buffer[:length]
        self._head = None
        return Request(method, path, headers, body)

    def _begin(self, exchange: Exchange) -> None:
        self._timer = None
        self._begun = True
        exchange.begin()
        if self._closed:
            self._over()
            return
        wire = exchange.wire
        self._transport.write(wire.first)
        if wire.rest == ():
            self._finish(wire.end)
        else:
            self._rest = iter(wire.rest)
            self._timer = self._loop.call_later(wire.pause, self._push)

    def _push(self) -> None:
        self._timer = None
        if self._choked or self._exchange is None:
            return
        wire = self._exchange.wire
        piece = next(self._rest, None)
        if piece is None:
            self._finish(wire.end)
            return
        self._transport.write(piece)
        self._timer = self._loop.call_later(wire.pause, self._push)

    def _finish(self, end: End) -> None:
        if end is End.SILENCE:
            return
        self._over()
        if end is End.FIN:
            self._transport.close()
        elif end is End.RESET:
            self._reset()
        elif self._buffer:
            self._take()

    def _reset(self) -> None:
        sock: socket.socket = self._transport.get_extra_info("socket")
        with suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_ZERO)
        self._transport.abort()

    def _over(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        exchange, self._exchange, self._begun = self._exchange, None, False
        if exchange is not None:
            exchange.end()
