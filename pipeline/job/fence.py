"""Fencing: a run that has lost a lock writes nothing more, sends nothing more, and stops.

It may lose one at any time: while its process or its machine is suspended, its files may be moved away and another
run started. A process gets no notice that it was suspended, so it checks its locks before it acts.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from pipeline.errors import PipelineError
from pipeline.outputs.destination import reserved
from pipeline.storage import Held, Leash
from pipeline.system.clock import Clock
from pipeline.system.places import Place

CHECK_SECONDS = 1.0
"""How often a run checks its locks."""

FRESH_SECONDS = 0.1
"""How long a check is trusted before a request: a process that was suspended for longer checks first."""

T = TypeVar("T")


class Fence:
    """The locks of a run, and when they were last found to be held."""

    def __init__(self, clock: Clock, *locks: Leash) -> None:
        self._clock = clock
        self._locks = locks
        self._checked_at = clock.now()
        self._check: asyncio.Task[None] | None = None

    def ensure(self) -> None:
        """Check that the run still holds all its locks. Blocks.

        Raises:
            LockedError: If it does not.
        """
        now = self._clock.now()  # taken before the check: the locks were held at this time at least
        for lock in self._locks:
            lock.ensure_held()
        self._checked_at = now

    def leashes(self, folder: Path) -> list[Leash]:
        """Return what a process needs that works for this run, to see that it still may; *folder* takes what tells it."""
        return [leash for lock in self._locks if isinstance(lock, Held) for leash in lock.leashes(folder)]

    def guard(self, write: Callable[..., T], *args: Any) -> T:
        """Call *write* if the run still holds all its locks, and return its result.

        Raises:
            LockedError: If it does not.
        """
        self.ensure()
        return write(*args)

    async def ensure_fresh(self) -> None:
        """Check the locks unless they were checked a moment ago; cheap enough for every request.

        Raises:
            LockedError: If the run does not hold them all.
        """
        if self._clock.now() - self._checked_at <= FRESH_SECONDS:
            return
        if self._check is None or self._check.done():  # all requests that wait share one check
            self._check = asyncio.create_task(self._check_anew())
        await asyncio.shield(self._check)

    async def _check_anew(self) -> None:
        took = math.inf
        while took > CHECK_SECONDS:  # the process was suspended amid the check, which may be outdated
            began = self._clock.now()
            await asyncio.to_thread(self.ensure)
            took = self._clock.now() - began

    @asynccontextmanager
    async def monitored(self, stop: Callable[[BaseException], None]) -> AsyncIterator[None]:
        """Check the locks every second while the block runs; call *stop* with the LockedError if one is lost."""
        task = asyncio.create_task(self._monitor(stop))
        try:
            yield
        finally:
            task.cancel()
            # A check whose requests were cancelled is still under way; once the locks are released it would find them lost.
            await asyncio.gather(task, *filter(None, [self._check]), return_exceptions=True)

    async def _monitor(self, stop: Callable[[BaseException], None]) -> None:
        try:
            while True:
                await self._clock.sleep(CHECK_SECONDS)
                await asyncio.to_thread(self.ensure)
        except PipelineError as error:
            stop(error)


@asynccontextmanager
async def fenced(
    output: Place | None,
    state: Held,
    clock: Clock,
    stop: Callable[[BaseException], None],
    owner: Callable[[], str] = str,
) -> AsyncIterator[Fence]:
    """Reserve *output*, if there is one, while the block runs, and monitor its lock and that of the *state*.

    If a lock is lost, *stop* is called with the LockedError. *owner* returns the name of the state.

    Raises:
        LockedError: If another run has reserved the output.
        CannotCreateError: If the output's folder cannot be created or written.
    """
    with ExitStack() as reservation:
        locks: list[Leash] = (
            [state] if output is None else [state, reservation.enter_context(reserved(output, owner))]
        )
        fence = Fence(clock, *locks)
        async with fence.monitored(stop):
            yield fence
