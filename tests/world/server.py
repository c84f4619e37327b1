"""A server on loopback that answers as one endpoint does, and keeps what it was asked."""

import asyncio
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, Self

import uvloop

from pipeline.servers.simulator.listener import HOST, Listener
from pipeline.servers.simulator.response import Response
from tests.faultserver.connection import Connection
from tests.faultserver.http1 import Request, Wire, render
from tests.world.endpoint import Ask, Endpoint, answer


class Exchanged:
    """A request whose answer is decided."""

    def __init__(self, response: Response, seconds: float, ended: Callable[[], None]) -> None:
        self.wire = Wire(render(response))
        self.delay = seconds if response.delay is None else response.delay
        self._ended = ended

    def begin(self) -> None:
        """Nothing is left to do."""

    def end(self) -> None:
        self._ended()


class WorldServer:
    """The server, in a thread of its own while the `with` block runs.

    Attributes:
        asks: The chat requests, each with its reply, in the order of coming.
        gets: Paths of the other requests.
    """

    def __init__(self, endpoint: Endpoint, label_of: Callable[[str], str]) -> None:
        self.endpoint = endpoint
        self.asks: list[tuple[Ask, Response]] = []
        self.gets: list[str] = []
        self._label_of = label_of
        self._seen: Counter[str] = Counter()
        self._memo: dict[str, Any] = {}
        self._in_flight = 0

    @property
    def base_url(self) -> str:
        return f"http://{HOST}:{self._listener.port}{self.endpoint.path}{self.endpoint.query}"

    @property
    def paid(self) -> list[Ask]:
        """The requests whose replies were billed."""
        return [ask for ask, response in self.asks if response.billed]

    @property
    def refused(self) -> list[Ask]:
        """The requests whose replies cost nothing."""
        return [ask for ask, response in self.asks if not response.billed]

    @property
    def completion_tokens(self) -> int:
        return sum(response.billed.completion for _, response in self.asks if response.billed)

    def receive(self, request: Request) -> Exchanged:
        path, _, query = request.path.partition("?")
        self._in_flight += 1
        base = self.endpoint.path
        if request.method == "POST" and path == f"{base}/chat/completions":
            response = self._chat(request, query)
        else:
            self.gets.append(request.path)
            response = answer(404, {"error": {"message": f"no such path: {path}"}})
            if request.method == "GET" and path.startswith(f"{base}/models/"):
                response = self.endpoint.about(path.removeprefix(f"{base}/models/"))
        return Exchanged(response, self.endpoint.seconds, self._end)

    def _chat(self, request: Request, query: str) -> Response:
        body: Mapping[str, Any] = json.loads(request.body)
        said = body["messages"][-1]["content"]
        text = json.loads(said.rpartition("\n")[2])
        ask = Ask(
            body=body,
            text=text,
            label=self._label_of(text),
            query=query,
            headers=request.headers,
            number=len(self.asks),
            before=self._seen[text],
            in_flight=self._in_flight,
            paid=len(self.paid),
            at=time.monotonic(),
            memo=self._memo,
        )
        self._seen[text] += 1
        response = self.endpoint.script(ask)
        self.asks.append((ask, response))
        return response

    def _end(self) -> None:
        self._in_flight -= 1

    def __enter__(self) -> Self:
        started: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, args=(started,), daemon=True)
        self._thread.start()
        started.result()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def _run(self, started: Future[None]) -> None:
        async def serve() -> None:
            self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
            connections: set[Connection] = set()
            self._listener = Listener(0, lambda: Connection(self.receive, connections))
            await self._listener.open()
            started.set_result(None)
            await self._stop.wait()
            await self._listener.close()
            for each in list(connections):
                each.abort()
            await asyncio.sleep(0)

        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(serve())
        except Exception as error:
            started.set_exception(error)
            raise
