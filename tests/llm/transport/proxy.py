"""A small HTTP proxy on loopback: reads absolute requests, opens tunnels, may ask for a password, and notes both."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

Reader, Writer = asyncio.StreamReader, asyncio.StreamWriter

END = b"\r\n\r\n"


@dataclass
class TestProxy:
    """A proxy that leads to one server, whatever host it is asked for.

    Attributes:
        port: Port of the server behind it.
        url: Its own URL.
        answer: What it says instead of leading there, if anything.
        heads: The head of each request that it was sent.
    """

    __test__ = False

    port: int
    url: str = ""
    answer: bytes = b""
    heads: list[str] = field(default_factory=list)
    connections: int = 0

    async def serve(self, reader: Reader, writer: Writer) -> None:
        """Serve one connection."""
        self.connections += 1
        try:
            while True:
                head = (await reader.readuntil(END)).decode()
                self.heads.append(head)
                if self.answer:
                    writer.write(self.answer)
                    continue
                inner = await asyncio.open_connection("127.0.0.1", self.port)
                if head.startswith("CONNECT "):
                    writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                else:
                    method, url, version = head.split(" ", 2)
                    inner[1].write(f"{method} /{url.split('/', 3)[3]} {version}".encode())
                await asyncio.gather(_pass_on(reader, inner[1]), _pass_on(inner[0], writer))
                return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


async def _pass_on(source: Reader, target: Writer) -> None:
    try:
        while data := await source.read(1 << 16):
            target.write(data)
            await target.drain()
    except ConnectionError:
        pass
    finally:
        target.close()


@asynccontextmanager
async def proxy_to(
    port: int, answer: bytes = b"", tls: ssl.SSLContext | None = None
) -> AsyncIterator[TestProxy]:
    """Run a proxy to the server at *port* while the block runs; with *tls* it is spoken to in TLS."""
    proxy = TestProxy(port, answer=answer)
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: Reader, writer: Writer) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with suppress(asyncio.CancelledError):  # at the end of the test
            await proxy.serve(reader, writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    proxy.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield proxy
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
