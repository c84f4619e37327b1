"""One HTTP exchange: aiohttp's connections and parser, without its session.

For each request a session merges headers, looks for cookies, makes a URL, starts a writer task and prepares for
redirects. None of that is needed here, and it costs as much as all the rest of a request.
"""

import asyncio
import logging
import ssl
import zlib
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from pipeline.config.proxy import Proxy
from pipeline.llm.transport.bodies import UNZIP, Into, Upload, pass_on

log = logging.getLogger(__name__)

MAX_FIELD_BYTES = 16 << 10
"""Limit of the status line and of each header field."""

CONNECT_SECONDS = 10.0
KEEP_ALIVE_SECONDS = 15.0
"""Idle connections are closed before a typical load balancer (60 s) or a plain server closes them."""

FRAMING = {"content-length", "transfer-encoding"}
INFORMATIONAL = range(100, 200)
SUCCESSES = range(200, 300)
SWITCHING = 101

BROKEN = (aiohttp.ClientError, HttpProcessingError, OSError, TimeoutError, ValueError)
"""The errors that an exchange may raise."""


@dataclass(frozen=True, slots=True)
class Response:
    """An HTTP response.

    Attributes:
        status: The HTTP status.
        headers: The header fields; lookup ignores case.
        content: The whole body, decompressed; None if it is larger than was allowed.
    """

    status: int
    headers: Mapping[str, str]
    content: bytes | None


class Target:
    """The destination of requests of one kind: a method, a URL and the headers, serialized once."""

    def __init__(self, method: str, url: URL, headers: Mapping[str, str], proxy: Proxy | None = None) -> None:
        """Serialize them; requests go through *proxy*, if there is one.

        Raises:
            ValueError: If the URL has no host, or a header holds a line break.
        """
        credentials = {"Proxy-Authorization": proxy.authorization} if proxy and proxy.authorization else {}
        self.request = aiohttp.ClientRequest(
            method,
            url,
            headers=headers,
            loop=asyncio.get_running_loop(),
            proxy=URL(proxy.url) if proxy else None,
            # With the Host that aiohttp would add: they are part of what tells the pool's connections apart.
            proxy_headers={"Host": url.host_port_subcomponent or "", **credentials} if proxy else None,
        )
        place, fields = url.raw_path_qs, dict(self.request.headers)
        if proxy is not None and not self.request.is_ssl():
            # The proxy reads it; what is encrypted goes through the tunnel that the pool has the proxy open.
            place, fields = str(url), {**fields, **credentials}
        lines = [f"{name}: {value}" for name, value in fields.items() if name.lower() not in FRAMING]
        if any("\r" in line or "\n" in line for line in lines):
            raise ValueError("a header may not hold a line break")
        self._start = "\r\n".join([f"{method} {place} HTTP/1.1", *lines, ""]).encode()

    def head(self, size: int) -> bytes:
        """Return the request line and headers for a body of *size* bytes."""
        return b"%bContent-Length: %d\r\n\r\n" % (self._start, size) if size else self._start + b"\r\n"


class Wire:
    """A pool of connections to one endpoint, whatever the target there.

    aiohttp's own pool makes them. It would compute whom each request is for and book the connection out and in again, so
    that idle ones are kept here.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        """Open a pool; *tls* says which certificates are trusted, by default the system's."""
        self._connecting = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS)
        self._warned = False
        self._loop = asyncio.get_running_loop()
        self._idle: deque[tuple[Connection, float]] = deque()  # and since when, the latest last
        self._sweep: asyncio.TimerHandle | None = None
        self._pool = aiohttp.TCPConnector(
            limit=0, ssl=tls or True, keepalive_timeout=KEEP_ALIVE_SECONDS, ttl_dns_cache=60
        )

    async def close(self) -> None:
        """Close all connections."""
        if self._sweep is not None:
            self._sweep.cancel()
        while self._idle:
            self._idle.pop()[0].release()  # the pool waits until they are closed
        await self._pool.close()

    async def exchange(
        self, target: Target, body: bytes | Upload, max_bytes: int, into: Into | None = None
    ) -> Response:
        """Send *body* and return the response; a response body of more than *max_bytes* is not read to its end.

        With *into*, the body of a success goes there piece by piece, however large it is, and the response has none.

        Raises:
            aiohttp.ClientError, HttpProcessingError, OSError, ValueError: If no connection is made, it breaks, or the response is no valid HTTP.
        """
        connection = await self._connect(target)
        whole = False
        try:
            protocol = connection.protocol
            if protocol is None or protocol.transport is None:
                raise aiohttp.ClientConnectionResetError("the connection was lost")
            protocol.set_response_params(
                read_until_eof=True,
                auto_decompress=False,
                max_line_size=MAX_FIELD_BYTES,
                max_field_size=MAX_FIELD_BYTES,
            )
            transport = protocol.transport
            if isinstance(body, bytes):
                transport.writelines((target.head(len(body)), body))
            else:
                await _send(protocol, transport, target.head(body.size), body)
            message, payload = await protocol.read()
            while message.code in INFORMATIONAL and message.code != SWITCHING:
                message, payload = await protocol.read()
            if into is not None and message.code in SUCCESSES:
                await pass_on(payload.iter_any(), message.headers.get("Content-Encoding", ""), into)
                content: bytes | None = b""
            else:
                content = await _body(payload, message.headers, max_bytes)
            # A server that answers before it has read the whole request would take the rest of it for the next one; and
            # a gateway that gave up may yet pass on the answer, which the next request would take for its own.
            whole = payload.is_eof() and not transport.get_write_buffer_size() and message.code in SUCCESSES
            return Response(message.code, message.headers, content)
        finally:
            if whole:
                self._keep(connection)
            else:
                if connection.transport is not None:
                    connection.transport.abort()  # `close` would first send the rest of the request
                connection.close()

    def _keep(self, connection: Connection) -> None:
        """Keep an idle connection for the next request."""
        self._idle.append((connection, self._loop.time()))
        if self._sweep is None:
            self._sweep = self._loop.call_later(KEEP_ALIVE_SECONDS, self._close_old)

    def _close_old(self) -> None:
        """Close the connections that have been idle for too long, and look again later."""
        oldest = self._loop.time() - KEEP_ALIVE_SECONDS
        while self._idle and self._idle[0][1] <= oldest:
            self._idle.popleft()[0].close()
        self._sweep = self._loop.call_later(KEEP_ALIVE_SECONDS, self._close_old) if self._idle else None

    def _take_idle(self) -> Connection | None:
        """Take the connection that was used last, among those that may still be used; None if there is none."""
        while self._idle:
            connection, since = self._idle.pop()
            protocol = connection.protocol
            if (
                protocol is not None
                and protocol.is_connected()
                and self._loop.time() - since < KEEP_ALIVE_SECONDS
            ):
                return connection
            connection.close()
        return None

    async def _connect(self, target: Target) -> Connection:
        """Take an idle connection, or make one."""
        while True:
            connection = self._take_idle() or await self._made(target)
            protocol = connection.protocol
            # What has come without being asked for would be taken for the answer to the next request.
            if protocol is None or not protocol.should_close:
                return connection
            if connection.transport is not None:
                connection.transport.abort()
            connection.close()
            if not self._warned:
                self._warned = True
                log.warning(
                    "a connection brought an answer that nobody had asked for; it is not used any more"
                )

    async def _made(self, target: Target) -> Connection:
        try:
            return await self._pool.connect(target.request, [], self._connecting)
        except TimeoutError as error:
            raise aiohttp.ConnectionTimeoutError(f"no connection within {CONNECT_SECONDS:g} s") from error


async def _send(protocol: ResponseHandler, transport: asyncio.Transport, head: bytes, body: Upload) -> None:
    transport.write(head)
    for piece in body.pieces:
        transport.write(piece)
        await protocol._drain_helper()  # noqa: SLF001 - waits until the socket has taken most of it


async def _body(payload: aiohttp.StreamReader, headers: Mapping[str, str], max_bytes: int) -> bytes | None:
    """Read and decompress the whole body; None if it is larger than *max_bytes*."""
    encoding = headers.get("Content-Encoding", "").lower()
    if payload.is_eof() and not encoding and payload.total_bytes <= max_bytes:  # it came with the headers
        return payload.read_nowait()
    inflate = zlib.decompressobj(UNZIP[encoding]) if encoding in UNZIP else None
    parts: list[bytes] = []
    size = 0
    async for part in payload.iter_any():
        try:
            data = part if inflate is None else inflate.decompress(part, max_bytes + 1)
        except zlib.error as error:
            raise ValueError("the body is not what its Content-Encoding says") from error
        size += len(data)
        if size > max_bytes:
            return None
        parts.append(data)
    return parts[0] if len(parts) == 1 else b"".join(parts)
