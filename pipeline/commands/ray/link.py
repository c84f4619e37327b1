"""What ties a worker to its run: the right to send, which every reply renews; the quota; and what it is told to do."""

import asyncio
import math
import os
import threading
import time
from collections import defaultdict, deque
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any

from pipeline.commands.ray.cluster import ray
from pipeline.commands.ray.quota import GO_ON, OVER, STOP_NOW, Grant, Reply, Term
from pipeline.commands.ray.right import LIVE_SECONDS, SEND_SECONDS, Clocks, Right
from pipeline.engine.worker import Line
from pipeline.errors import InterruptedRunError, LockedError
from pipeline.llm.pacing.shared.quota import Lease
from pipeline.system.shutdown import Stop
from pipeline.telemetry.pace import Progress

SCHEME = "ray"

BEAT_SECONDS = 0.5

AHEAD = 2
"""Leases that a worker with much to send asks for beside the one that it uses: a call over the network takes its time."""


class Link:
    """The link of one worker, whose process is this one."""

    def __init__(self, quota: Any, term: Term, stop: Stop) -> None:
        self.right, self.clocks = Right(term), Clocks()
        self._quota, self._term, self._stop = quota, term, stop
        self._told, self._over = GO_ON, threading.Event()
        self._progress, self._lines = Progress(), list[Line]()

    def send(self, message: object) -> None:
        """Tell the run how far the worker is, or a log line, with the next beat; from any thread."""
        match message:
            case Progress():
                self._progress = message
            case Line():
                self._lines.append(message)

    @contextmanager
    def beating(self) -> Iterator[None]:
        """Beat while the block runs, from a thread of its own; the block begins once the first beat was answered."""
        self._beat()
        thread = threading.Thread(target=self._repeat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()
            self._beat()

    def _repeat(self) -> None:
        while not self._over.wait(BEAT_SECONDS):
            self._beat()
            if self.right.age > LIVE_SECONDS:
                os._exit(1)  # another worker may have the slice, and its files

    def _beat(self) -> None:
        lines = self._lines[:]
        asked = time.monotonic()
        try:
            reply = ray.get(self._quota.beat.remote(self._term, self._progress, lines), timeout=SEND_SECONDS)
        except (ray.exceptions.RayError, TimeoutError):
            return  # the right ends by itself
        del self._lines[: len(lines)]
        self._take(asked, reply)

    def _take(self, asked: float, reply: Reply) -> None:
        """Renew the right, and do what the reply says."""
        came = time.monotonic()
        if reply.order == OVER:
            self._stop.ask(LockedError(f"slice {self._term.number}: another worker has it"))
            return
        self.right.renew(asked)
        self.clocks.see(asked, reply.now, came)
        while self._told < reply.order <= STOP_NOW:  # asked for the second time, it stops at once
            self._told += 1
            self._stop.ask(InterruptedRunError("the run stops"))

    async def asked(self, method: str, *arguments: object) -> Any:
        """Return what the quota's *method* answers.

        Raises:
            LockedError: If the slice is another worker's, or the run is not heard of.
        """
        asked = time.monotonic()
        try:
            call: Awaitable[Reply] = getattr(self._quota, method).remote(self._term, *arguments)
            reply = await call
        except ray.exceptions.RayError as error:
            raise LockedError(f"slice {self._term.number}: its run is not heard of: {error}") from error
        self._take(asked, reply)
        if reply.order == OVER:
            raise LockedError(f"slice {self._term.number}: another worker has it")
        return reply.answer

    def tell(self, method: str, *arguments: object) -> None:
        """Call the quota's *method*, and do not wait for it."""
        getattr(self._quota, method).remote(self._term, *arguments)

    def state(self, name: str) -> "RayState":
        """Return the state of the shared quota called *name*."""
        return RayState(self, name.removeprefix(f"{SCHEME}://").replace("#", "-"))


class RayState:
    """The state of a shared quota that the actor keeps."""

    def __init__(self, link: Link, name: str) -> None:
        self._link, self._name = link, name
        self._paused_until = -math.inf
        self._until = defaultdict[int, float](lambda: -math.inf)  # when the last lease of a field ends
        self._ahead = defaultdict[int, deque[asyncio.Task[Grant]]](deque)

    async def lease(self, field: int, amount: float, rate: float) -> Lease:
        """Lease *amount* units, or more, of a *rate* a second; where others use a lower one, of that."""
        ahead, units, clocks = self._ahead[field], 0.0, self._link.clocks
        # The last one was used up in its time: there is more to send than may be sent.
        while time.monotonic() <= self._until[field] and len(ahead) < AHEAD:
            ahead.append(asyncio.create_task(self._granted(field, amount, rate)))
            ahead[-1].add_done_callback(lambda task: task.cancelled() or task.exception())
        while True:
            is_new = not ahead
            grant = await (self._granted(field, amount, rate) if is_new else asyncio.shield(ahead.popleft()))
            start, end = clocks.not_before(grant.start), clocks.not_after(grant.end)
            if is_new or time.monotonic() <= end:  # or others may have used the rate since
                units += grant.units
            if units >= amount:
                break
        self._until[field] = end
        return Lease(start - time.monotonic(), end - start, units, grant.rate)

    async def _granted(self, field: int, amount: float, rate: float) -> Grant:
        grant: Grant = await self._link.asked("lease", self._name, field, amount, rate)
        self._paused_until = max(self._paused_until, time.monotonic() + grant.pause)
        return grant

    def pause(self, seconds: float) -> None:
        """Pause all workers for at least *seconds* from now; others hear of it with their next lease."""
        self._paused_until = max(self._paused_until, time.monotonic() + seconds)
        self._link.tell("pause", self._name, seconds)

    def pause_left(self) -> float:
        """Return for how many seconds all workers are to pause; 0 or less for none."""
        return self._paused_until - time.monotonic()

    async def close(self) -> None:
        """Let go of it."""
        for task in chain.from_iterable(self._ahead.values()):
            task.cancel()
