"""A proxy in front of an object store that breaks requests on purpose, in a thread of its own."""

import asyncio
import io
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import aiohttp
from aiohttp import web

LOST, CUT, SLOW_DOWN, CONFLICT, FORBIDDEN, HANG = "lost", "cut", "503", "409", "403", "hang"
"""Heeded and its reply lost; its reply cut half-way; refused in three ways; neither heeded nor answered."""

REFUSALS = {
    SLOW_DOWN: (503, "SlowDown"),
    CONFLICT: (409, "ConditionalRequestConflict"),
    FORBIDDEN: (403, "AccessDenied"),
}


@dataclass(frozen=True, slots=True)
class Call:
    """A request: its method, the object's key, its query, and which request for these it is, from 1."""

    method: str
    key: str
    query: str
    number: int


Fault = Callable[[Call], str | None]


class Proxy:
    """Forwards to *target* what `fault` says nothing about.

    Attributes:
        fault: Which fault a request meets, if any; called for each one.
        delay: Seconds before each request is forwarded.
        calls: All requests, in order.
    """

    def __init__(self, target: str) -> None:
        self.target, self.url = target, ""
        self.fault: Fault = lambda _: None
        self.delay = 0.0
        self.calls: list[Call] = []

    def count(self, method: str, part: str) -> int:
        return sum(call.method == method and part in call.key for call in self.calls)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        key = request.path.lstrip("/").partition("/")[2]
        body = await request.read()
        seen = sum((call.method, call.key) == (request.method, key) for call in self.calls)
        call = Call(request.method, key, request.query_string, seen + 1)
        self.calls.append(call)
        await asyncio.sleep(self.delay)
        fault = self.fault(call)
        if fault in REFUSALS:
            status, code = REFUSALS[fault]
            return web.Response(status=status, text=f"<Error><Code>{code}</Code></Error>")
        if fault == HANG:
            await asyncio.sleep(3600)
        headers = {k: v for k, v in request.headers.items() if k.lower() != "expect"}
        async with self._session.request(
            request.method, self.target + request.raw_path, data=io.BytesIO(body), headers=headers, skip_auto_headers=["Content-Type"]
        ) as found:  # fmt: skip
            content = await found.read()
            if fault == LOST:
                return self._hang_up(request)
            kept = {k: v for k, v in found.headers.items() if k.lower() not in {"content-length", "transfer-encoding", "connection"}}  # fmt: skip
            if request.method == "HEAD":
                kept["Content-Length"] = found.headers.get("Content-Length", "0")
            if fault == CUT:
                return await self._cut(request, found.status, kept, content)
            return web.Response(status=found.status, headers=kept, body=content)

    @staticmethod
    def _hang_up(request: web.Request) -> web.Response:
        assert request.transport
        request.transport.abort()
        return web.Response()

    @staticmethod
    async def _cut(
        request: web.Request, status: int, headers: dict[str, str], content: bytes
    ) -> web.StreamResponse:
        response = web.StreamResponse(status=status, headers={**headers, "Content-Length": str(len(content))})
        await response.prepare(request)
        await response.write(content[: len(content) // 2])
        await asyncio.sleep(0.05)
        assert request.transport
        request.transport.abort()
        return response

    async def serve(self, ready: threading.Event, stop: asyncio.Event) -> None:
        application = web.Application(client_max_size=1 << 30)
        application.router.add_route("*", "/{rest:.*}", self._handle)
        async with aiohttp.ClientSession(auto_decompress=False) as self._session:
            runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            assert site._server
            port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
            self.url = f"http://127.0.0.1:{port}"
            ready.set()
            await stop.wait()
            await runner.cleanup()


@contextmanager
def proxied(target: str) -> Iterator[Proxy]:
    """Run a proxy in front of *target* while the block runs."""
    proxy, ready, loop = Proxy(target), threading.Event(), asyncio.new_event_loop()
    stop = asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(proxy.serve(ready, stop)))
    thread.start()
    ready.wait()
    try:
        yield proxy
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()
