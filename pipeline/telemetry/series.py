"""The course of a run: samples of its progress, so few that a run of days keeps no more than one of minutes."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

from pipeline.telemetry.pace import Look, Progress

MOST_POINTS = 600
"""Most samples that are kept; an even number."""

FIRST_SECONDS = 0.1
"""How often a run is sampled at first; half as often each time that there are too many samples."""


class Point(NamedTuple):
    """What one execution of a run had done, so many `seconds` after its start; the fields are those of `Progress`."""

    seconds: float
    done: int
    failed: int
    in_flight: int
    requests: int
    throttled: int
    tokens: int
    cost_usd: float | None


class Series:
    """A watcher that keeps samples of a run's progress.

    Attributes:
        every: Seconds between two samples.
    """

    def __init__(self, first_seconds: float = FIRST_SECONDS) -> None:
        self._points: list[Point] = []
        self.every = first_seconds
        self._began = time.monotonic()

    @asynccontextmanager
    async def watching(self, look: Look) -> AsyncIterator[None]:
        """Sample what *look* returns until the block ends."""
        self._began = time.monotonic()
        self.add(look())
        task = asyncio.create_task(self._sample(look))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _sample(self, look: Look) -> None:
        while True:
            await asyncio.sleep(self.every)
            self.add(look())

    def add(self, progress: Progress) -> None:
        """Keep a sample; when there are too many, every other one goes, and from now on they come half as often."""
        self._points.append(self._point(progress))
        if len(self._points) >= MOST_POINTS:
            self._points = self._points[::2]
            self.every *= 2

    def until(self, progress: Progress) -> dict[str, Sequence[float | None]]:
        """Return all samples by field, with where the run stands now as the last. May be called in any thread."""
        points = [*self._points, self._point(progress)]
        return dict(zip(Point._fields, map(list, zip(*points, strict=True)), strict=True))

    def _point(self, progress: Progress) -> Point:
        return Point(
            seconds=round(time.monotonic() - self._began, 2),
            done=progress.done,
            failed=progress.failed,
            in_flight=progress.in_flight,
            requests=progress.requests,
            throttled=progress.throttled,
            tokens=progress.tokens,
            cost_usd=progress.cost_usd,
        )
