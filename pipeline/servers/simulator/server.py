"""An OpenAI-compatible endpoint on loopback, with chosen latency, limits and faults, that rehearses a job for free."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Self

from aiohttp import web

from pipeline.servers.protocol.http import read, send, untaken
from pipeline.servers.simulator.batches.routes import Routes
from pipeline.servers.simulator.batches.service import Batches
from pipeline.servers.simulator.listener import HOST, Listener
from pipeline.servers.simulator.log import Log
from pipeline.servers.simulator.response import NoReply, Response
from pipeline.servers.simulator.service import Served, Service
from pipeline.servers.simulator.settings import OutageKind, SimulatorSettings

log = logging.getLogger(__name__)

CHAT, MODELS = "/v1/chat/completions", "/v1/models"

MAX_BODY_BYTES = 32 * 1024 * 1024

SHUTDOWN_SECONDS = 0.1
"""How long requests in flight delay the shutdown; they get no reply, which a rehearsal can bear."""


class Simulator:
    """The HTTP server; `async with` runs it in the running loop.

    async with Simulator(SimulatorSettings(faults={"http_500": 0.1})) as server:
        ...  # ask server.base_url
    """

    def __init__(self, settings: SimulatorSettings | None = None) -> None:
        """Make a server that `async with` starts; without *settings* one with neither latency nor faults."""
        self.settings = settings or SimulatorSettings()
        self._service = Service(self.settings)
        self.batches = Batches(self._service, self.settings)
        self._runner = web.AppRunner(
            self._app(),
            access_log=None,
            logger=log,
            handler_cancellation=True,
            shutdown_timeout=SHUTDOWN_SECONDS,
        )
        self._listener = Listener(self.settings.port, self._protocol)
        self._timers: list[asyncio.TimerHandle] = []

    @property
    def base_url(self) -> str:
        """What a client's `base_url` is set to."""
        return f"http://{HOST}:{self._listener.port}/v1"

    @property
    def log(self) -> Log:
        """Counts and sums of all requests."""
        return self._service.log

    @property
    def max_in_flight(self) -> int:
        """The most requests that were ever in flight at once."""
        return self._service.max_in_flight

    async def __aenter__(self) -> Self:
        """Start.

        Raises:
            OSError: The port is taken.
        """
        await self._runner.setup()
        try:
            await self._listener.open()
        except OSError:
            await self._runner.cleanup()
            raise
        loop = asyncio.get_running_loop()
        for outage in self.settings.outages:
            self._timers.append(loop.call_later(outage.start, self._begin_outage, outage.kind))
            self._timers.append(loop.call_later(outage.start + outage.seconds, self._end_outage))
        return self

    async def __aexit__(self, *_: object) -> None:
        for timer in self._timers:
            timer.cancel()
        self._service.outage = "refuse"
        await self._listener.close()
        await self._runner.cleanup()
        self._service.log.close()

    def _app(self) -> web.Application:
        app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[self._refuse_as_openai_does])
        app.router.add_post(CHAT, self._chat)
        app.router.add_get(MODELS, self._models)
        app.router.add_get(MODELS + "/{name:.+}", self._models)
        Routes(self.batches, self._plain).add_to(app)
        return app

    async def _plain(
        self, request: web.Request, make: Callable[[], Response | NoReply]
    ) -> web.StreamResponse:
        return await self._reply(request, self._service.plain(make))

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        return await self._reply(request, self._service.chat(await read(request)))

    async def _models(self, request: web.Request) -> web.StreamResponse:
        return await self._reply(request, self._service.models(request.match_info.get("name", "")))

    @web.middleware
    async def _refuse_as_openai_does(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Answer what no handler takes with OpenAI's error object."""
        try:
            return await handler(request)
        except web.HTTPException as error:
            told = untaken(request, error)
            response = Response(told.status, told.body, told.headers, delay=0)
            return await self._reply(request, self._service.refuse(response, told.reason))

    async def _reply(self, request: web.Request, served: Served) -> web.StreamResponse:
        """Send what was decided once it is due."""
        try:
            await self._wait(served)
            self._service.note(served)
            if isinstance(served.sent, Response):
                return await send(request, served.sent.status, served.sent.body, served.sent.headers)
            return await _say_nothing(request, served.sent)
        finally:
            self._service.end()

    async def _wait(self, served: Served) -> None:
        if served.delay <= 0:
            return
        loop = asyncio.get_running_loop()
        due = loop.time() + served.delay
        try:
            await asyncio.sleep(served.delay)
        except asyncio.CancelledError:
            # The client is gone. Unless an outage refuses connections, the answer is still made and billed.
            if self._service.outage != "refuse":
                loop.call_at(due, self._service.note, served)
            raise

    def _protocol(self) -> asyncio.Protocol:
        server = self._runner.server
        assert server is not None  # noqa: S101 - it is there once the runner is set up
        return server()

    def _begin_outage(self, kind: OutageKind) -> None:
        self._service.outage = kind
        if kind == "refuse":
            self._listener.refuse()
            for connection in self._runner.server.connections if self._runner.server else ():
                connection.force_close()

    def _end_outage(self) -> None:
        self._service.outage = None
        self._listener.accept()


async def _say_nothing(request: web.Request, sent: NoReply) -> web.StreamResponse:
    if sent.hangs:
        await asyncio.get_running_loop().create_future()  # cancelled when the connection is lost
    if request.transport is not None:
        request.transport.close()
    return web.Response()  # of which nothing goes out any more


def _is_our_error(record: logging.LogRecord) -> bool:
    """Return whether *record* is more than a malformed request, which its 400 reports."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, web.RequestPayloadError) and getattr(error, "code", None) != 400  # noqa: PLR2004


log.addFilter(_is_our_error)
