"""The snapshot of a run: where it stands, saved every few seconds for other processes to read."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import orjson

from pipeline.errors import PipelineError
from pipeline.job.fence import Fence
from pipeline.job.workspace import Workspace
from pipeline.system.atomic import write
from pipeline.system.clock import Clock
from pipeline.telemetry.pace import Look, Pace

SECONDS = 2.0


class Snapshots:
    """A watcher of a run that saves snapshots; a run that is over sooner than the first leaves none."""

    def __init__(
        self, place: Workspace, run_id: str, fence: Fence, clock: Clock, spent: Callable[[], float | None],
        *, due: float | None = None,
    ) -> None:  # fmt: skip
        """Prepare to save the snapshots of the run *run_id* in its workspace.

        Args:
            place: The workspace.
            run_id: The run.
            fence: Guards its writes.
            clock: The time.
            spent: Tells what it has cost altogether.
            due: Unix time by which it is to be done; None if that is nobody's matter.
        """
        self._place, self._run_id, self._fence, self._clock, self._spent = place, run_id, fence, clock, spent
        self._due = due

    @asynccontextmanager
    async def watching(self, look: Look) -> AsyncIterator[None]:
        """Save snapshots until the block ends, the last one then."""
        pace = Pace(look)
        pace.look()  # from here on it is measured
        repeated = asyncio.create_task(self._repeat(pace))
        try:
            yield
        finally:
            repeated.cancel()
            await asyncio.gather(repeated, return_exceptions=True)
            if self._place.snapshot.exists():
                await asyncio.to_thread(self._save, self._facts(pace))

    async def _repeat(self, pace: Pace) -> None:
        while True:
            await asyncio.sleep(SECONDS)
            await asyncio.to_thread(self._save, self._facts(pace))

    def _facts(self, pace: Pace) -> dict[str, Any]:
        standing = pace.look()
        run = standing.progress
        return {
            "run_id": self._run_id,
            "at": self._clock.wall(),
            "rows": run.rows,
            "rows_done": standing.done,
            "failed": run.failed,
            "rate": standing.rate,
            "seconds_left": standing.left,
            "cost_usd": self._spent(),
            "in_flight": run.in_flight,
            **({"shares": dict(run.shares)} if run.shares else {}),
            **({} if self._due is None else {"finish_by": self._due}),
            "waiting": run.waiting,
            "stopping": run.stopping,
        }

    def _save(self, facts: dict[str, Any]) -> None:
        # Nobody needs it after a power cut, and a full disk is told by what does matter.
        with suppress(OSError, PipelineError):
            self._fence.guard(lambda: write(self._place.snapshot, orjson.dumps(facts), durable=False))


def load_snapshot(place: Workspace, run_id: str) -> dict[str, Any]:
    """Return the latest snapshot of the run *run_id*; nothing if there is none."""
    with suppress(OSError, ValueError):
        found = orjson.loads(place.snapshot.read_bytes())
        if isinstance(found, dict) and found.get("run_id") == run_id:
            return found
    return {}
