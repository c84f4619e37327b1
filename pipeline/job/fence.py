"""A run that has lost a lock writes nothing more, sends nothing more, and stops.

It may lose one at any time: while its process is stopped or its machine is gone, somebody may move its files away
and start another run. When it comes back it does not know, so it looks.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from pipeline.errors import PipelineError
from pipeline.outputs.destination import reserved
from pipeline.system.clock import Clock
from pipeline.system.lock import Lock

LOOK_SECONDS = 1.0
"""How often a run looks after its locks."""

FRESH_SECONDS = 0.1
"""How long it trusts what it saw before it sends: whoever was asleep for longer looks first."""

T = TypeVar("T")


class Fence:
    """The locks of a run, and when they were last seen to be its own."""

    def __init__(self, clock: Clock, *locks: Lock) -> None:
        self._clock = clock
        self._locks = locks
        self._seen_at = clock.now()
        self._looking: asyncio.Task[None] | None = None

    def ensure(self) -> None:
        """Make sure that the run still has all its locks. Blocks.

        Raises:
            LockedError: If it has not.
        """
        now = self._clock.now()  # before looking: what is seen is not younger than that
        for lock in self._locks:
            lock.ensure_held()
        self._seen_at = now

    def guard(self, write: Callable[..., T], *args: Any) -> T:
        """Return what *write* returns, which is called only if the run still has all its locks."""
        self.ensure()
        return write(*args)

    async def ensure_fresh(self) -> None:
        """Make sure that the run had all its locks a moment ago; costs next to nothing.

        Raises:
            LockedError: If it had not.
        """
        if self._clock.now() - self._seen_at <= FRESH_SECONDS:
            return
        if self._looking is None or self._looking.done():  # one look serves all who wait for it
            self._looking = asyncio.create_task(self._look())
        await asyncio.shield(self._looking)

    async def _look(self) -> None:
        took = math.inf
        while took > LOOK_SECONDS:  # it fell asleep while it looked, and may have seen what was before
            began = self._clock.now()
            await asyncio.to_thread(self.ensure)
            took = self._clock.now() - began

    @asynccontextmanager
    async def watched(self, stop: Callable[[BaseException], None]) -> AsyncIterator[None]:
        """Look every second while the block runs, and call *stop* with the LockedError if a lock is lost."""
        task = asyncio.create_task(self._watch(stop))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _watch(self, stop: Callable[[BaseException], None]) -> None:
        try:
            while True:
                await self._clock.sleep(LOOK_SECONDS)
                await asyncio.to_thread(self.ensure)
        except PipelineError as error:
            stop(error)


@asynccontextmanager
async def fenced(
    output: Path, state: Lock, clock: Clock, stop: Callable[[BaseException], None]
) -> AsyncIterator[Fence]:
    """Reserve the place of *output* while the block runs, and look after this lock and that of the *state*.

    Raises:
        LockedError: If another run has the place; and if a lock was lost meanwhile, *stop* is called with one.
        CannotCreateError: If the output's folder cannot be made or written.
    """
    with reserved(output) as place:
        fence = Fence(clock, state, place)
        async with fence.watched(stop):
            yield fence
