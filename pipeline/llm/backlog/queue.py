"""The queue of requests of one endpoint."""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from pipeline.llm.backlog.delivery import Deliver, Delivery
from pipeline.llm.request import Request
from pipeline.system.clock import Clock

Spawn: TypeAlias = Callable[[Coroutine[None, None, None]], None]
"""Runs something in a task of its own."""


class Line(Protocol):
    """Where requests wait: what a deque is, or packs several into one as they leave, see `llm.packs.line`."""

    def append(self, request: Request, /) -> None:
        """Add a request at the end."""

    def appendleft(self, request: Request, /) -> None:
        """Add one at the front."""

    def popleft(self) -> Request:
        """Take the first."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Request]: ...


@dataclass(slots=True)
class OpenRows:
    """How many prompts have no answer yet, wherever they are, and how many of them are held, see `llm.held_rows`."""

    unanswered: int = 0
    held: int = 0


class RequestQueue:
    """A queue of requests that can also take one at its front.

    Attributes:
        rows: Counted by whoever asks, answers and holds.
    """

    def __init__(self, rows: OpenRows | None = None, line: Line | None = None) -> None:
        self.rows = rows or OpenRows()
        self._requests: Line = deque() if line is None else line
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._held: Line | None = None

    def push(self, request: Request, *, first: bool) -> None:
        """Add *request* at the end, or at the front if *first*."""
        requests = self._requests if self._held is None or request.control else self._held
        # Retries and second asks go to the front: their chunk is the oldest and waits for them.
        if first:
            requests.appendleft(request)
        else:
            requests.append(request)
        self.wake(1)

    def push_again(self, request: Request, seconds: float, spawn: Spawn, clock: Clock) -> None:
        """Add *request*, which has failed, at the front after so many *seconds*; *spawn* runs what waits for that."""
        if seconds > 0:
            spawn(self._push_later(request, seconds, clock))  # so that the worker is free meanwhile
        else:
            self.push(request, first=True)

    async def _push_later(self, request: Request, seconds: float, clock: Clock) -> None:
        await clock.sleep(seconds)
        self.push(request, first=True)

    def hold_all(self) -> None:
        """Give out nothing but controls until `let_go`."""
        self._held, self._requests = self._requests, deque()

    def let_go(self) -> None:
        """Give out all requests again."""
        if self._held is not None:
            meanwhile, self._requests, self._held = self._requests, self._held, None
            while meanwhile:
                self._requests.appendleft(meanwhile.popleft())
        self.wake(len(self._requests))

    def delivery(self, deliver: Deliver, run: str, clock: Clock) -> Delivery:
        """Return the way to the ledger for the replies to what it gives out."""
        return Delivery(deliver, run, clock)

    def done(self, request: Request) -> None:  # noqa: ARG002 - who keeps more account of it wants to know which
        """Record that *request*, which was taken from here, has its answer."""
        self.rows.unanswered -= 1

    def pop(self) -> Request | None:
        """Take the first request; None if there is none."""
        return self._requests.popleft() if self._requests else None

    async def next(self) -> Request:
        """Wait for a request, and take the first."""
        while (request := self.pop()) is None:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter
        return request

    def wake(self, count: int) -> None:
        """Have *count* of those that wait look again."""
        while self._waiters and count:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                count -= 1
