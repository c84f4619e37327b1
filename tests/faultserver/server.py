"""The server that the tests run jobs against: it can misbehave in every way that TCP allows.

It knows what each row should get, and logs what was asked, sent and billed.
"""

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from types import TracebackType
from typing import Self

import uvloop

from pipeline.errors import UsageError
from pipeline.servers.simulator.listener import BACKLOG, HOST, Listener
from pipeline.servers.simulator.log import Entry, Log
from pipeline.servers.simulator.settings import OutageKind
from tests.faultserver.connection import Connection
from tests.faultserver.faults import FAULTS
from tests.faultserver.http1 import Request
from tests.faultserver.log import repeats
from tests.faultserver.service import CHAT, ELSEWHERE, Behaviour, FaultService, LabelFor
from tests.faultserver.settings import FaultServerSettings


class FaultServer:
    """The server; `async with` runs it in the running loop, `with` in a thread of its own.

        async with FaultServer(label_for=labels.__getitem__) as server:
            server.script(["http_500", None])
            ...
            assert server.repeats() == {}

    All methods may be called from any thread.
    """

    def __init__(
        self,
        settings: FaultServerSettings | None = None,
        *,
        label_for: LabelFor | None = None,
        tls: ssl.SSLContext | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make a server that is not yet there.

        Args:
            settings: How it behaves; a quick and flawless server without.
            label_for: Right label or labels of a row's text; without it a member of the request's labels,
                always the same for the same user message.
            tls: Speaks https with it.
            clock: Seconds; what the rate limits go by.
        """
        self.settings = settings or FaultServerSettings()
        self._service = FaultService(self.settings, label_for, clock)
        self._scheme = "https" if tls else "http"
        self._connections: set[Connection] = set()
        self._listener = _TlsListener(self.settings.port, self._connection, tls)
        self._timers: list[asyncio.TimerHandle] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._stop = asyncio.Event()

    @property
    def base_url(self) -> str:
        """What a client's `base_url` is set to."""
        return f"{self._scheme}://{HOST}:{self._listener.port}/v1"

    @property
    def log(self) -> Log:
        """Counts and sums of all requests."""
        return self._service.log

    @property
    def entries(self) -> list[Entry]:
        """The log, in the order of answering."""
        return self._service.entries

    @property
    def requests(self) -> int:
        """Requests answered, or taken and never answered."""
        return self._service.log.requests

    @property
    def billed(self) -> int:
        """Requests that are on the bill."""
        return self._service.log.billed

    @property
    def in_flight(self) -> int:
        """Requests being answered."""
        return self._service.in_flight

    @property
    def max_in_flight(self) -> int:
        """The most there ever were at once."""
        return self._service.max_in_flight

    @property
    def strays(self) -> list[Request]:
        """Requests that followed a redirect to the other origin."""
        return self._service.strays

    @property
    def capacity(self) -> int | None:
        """Requests in flight from which latency grows."""
        return self._service.capacity

    @capacity.setter
    def capacity(self, capacity: int | None) -> None:
        self._service.capacity = capacity

    def repeats(self) -> dict[str, int]:
        """Return the keys that were billed more than once, with how often; none where entries are not kept."""
        return repeats(self.entries)

    def script(self, behaviours: Iterable[Behaviour]) -> None:
        """Give the next chat requests exactly these, in turn, whatever the settings say.

        Raises:
            UsageError: A fault has no such name.
        """
        self._service.script.extend([_known(behaviour) for behaviour in behaviours])

    def when(self, fits: Callable[[str], bool], behaviour: Behaviour) -> None:
        """Give *behaviour* to every chat request whose row's text *fits*, unless the script says otherwise."""
        self._service.rules.append((fits, _known(behaviour)))

    def start_outage(self, kind: OutageKind = "refuse") -> None:
        """Be away until `stop_outage`; with `refuse` the open connections are cut too."""
        self._in_loop(lambda: self._begin_outage(kind))

    def stop_outage(self) -> None:
        """Be back, on the same port."""
        self._in_loop(self._end_outage)

    async def __aenter__(self) -> Self:
        """Start.

        Raises:
            OSError: The port is taken.
        """
        self._loop = loop = asyncio.get_running_loop()
        await self._listener.open()
        self._service.elsewhere = f"{self._scheme}://localhost:{self._listener.port}{ELSEWHERE}{CHAT}"
        for outage in self.settings.outages:
            self._timers.append(loop.call_later(outage.start, self._begin_outage, outage.kind))
            self._timers.append(loop.call_later(outage.start + outage.seconds, self._end_outage))
        for start, capacity in self.settings.capacity_changes:
            self._timers.append(loop.call_later(start, setattr, self, "capacity", capacity))
        return self

    async def __aexit__(self, *_: object) -> None:
        for timer in self._timers:
            timer.cancel()
        await self._listener.close()
        leaving = [connection.lost for connection in self._connections]
        self._cut_connections()
        await asyncio.gather(*leaving)
        self._service.log.close()

    def __enter__(self) -> Self:
        """Start in a thread of its own; raises what starting raises."""
        started: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, args=(started,), name="fault-server", daemon=True)
        self._thread.start()
        started.result()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._in_loop(self._stop.set)
        if self._thread is not None:
            self._thread.join()

    def _run(self, started: Future[None]) -> None:
        async def until_stopped() -> None:
            async with self:
                started.set_result(None)
                await self._stop.wait()

        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(until_stopped())
        except OSError as error:
            started.set_exception(error)

    def _in_loop(self, call: Callable[[], object]) -> None:
        """Run *call* in the server's loop and wait for it."""
        if self._thread is None or self._loop is None or threading.current_thread() is self._thread:
            call()
            return

        async def called() -> None:
            call()

        asyncio.run_coroutine_threadsafe(called(), self._loop).result()

    def _connection(self) -> Connection:
        return Connection(self._service.receive, self._connections)

    def _cut_connections(self) -> None:
        for connection in list(self._connections):
            connection.abort()

    def _begin_outage(self, kind: OutageKind) -> None:
        self._service.outage = kind
        if kind == "refuse":
            self._listener.refuse()
            self._cut_connections()

    def _end_outage(self) -> None:
        self._service.outage = None
        self._listener.accept()


class _TlsListener(Listener):
    """A listener that speaks TLS if it has a context."""

    def __init__(
        self, port: int, protocol: Callable[[], asyncio.Protocol], tls: ssl.SSLContext | None
    ) -> None:
        super().__init__(port, protocol)
        self._tls = tls

    async def _serve(self, sock: socket.socket) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        return await loop.create_server(self._protocol, sock=sock, ssl=self._tls, backlog=BACKLOG)


def _known(behaviour: Behaviour) -> Behaviour:
    if isinstance(behaviour, str) and behaviour not in FAULTS:
        raise UsageError(f"fault {behaviour}: there is none of that name; use {', '.join(sorted(FAULTS))}")
    return behaviour
