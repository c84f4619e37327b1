"""A job against a server that misbehaves as a test likes, and time that passes quickly."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

from pipeline.servers.simulator.log import Entry
from pipeline.system.clock import Clock
from pipeline.telemetry.progress import Progress
from tests.faultserver.faults import FAULTS, Call
from tests.faultserver.http1 import Response, Wire
from tests.faultserver.server import FaultServer
from tests.faultserver.settings import FaultServerSettings
from tests.jobs import JobFiles, right_label


@contextmanager
def job_against(
    folder: Path,
    rows: Sequence[str],
    *,
    limits: Mapping[str, Any] | None = None,
    model: Mapping[str, Any] | None = None,
    **settings: Any,
) -> Iterator[tuple[FaultServer, JobFiles]]:
    """Give a server with *settings*, which knows the right labels, and a job that asks it about *rows*."""
    with FaultServer(FaultServerSettings(**settings), label_for=right_label) as server:
        job = JobFiles(folder, server.base_url).set(limits=limits or {}, model=model or {})
        job.table(rows)
        yield server, job


def everybody(_: str) -> bool:
    """Fits every row."""
    return True


def at_first(server: FaultServer, rows: Sequence[str], name: str, times: int = 1) -> None:
    """Give each of *rows* the fault *name* at its first so many asks, and the right answer from then on."""
    left = dict.fromkeys(rows, times)

    def behave(call: Call) -> Response | Wire:
        left[call.ask.text] -= 1
        return call.right() if left[call.ask.text] < 0 else FAULTS[name].act(call)

    server.when(left.__contains__, behave)


def quick(times: float, chance: Callable[[], float] | None = None) -> Clock:
    """A clock that goes so many times as fast as a real one; its dice may show what a test wants."""
    return Clock(
        now=lambda: time.monotonic() * times,
        sleep=lambda seconds: asyncio.sleep(seconds / times),
        random=chance or Random(1).random,
    )


class Pauses:
    """A clock that notes for how many of its own seconds a run means to sleep."""

    def __init__(self, clock: Clock) -> None:
        self.seconds: list[float] = []
        self.clock = replace(clock, sleep=self._sleep)
        self._pause = clock.sleep

    async def _sleep(self, seconds: float) -> None:
        self.seconds.append(seconds)
        await self._pause(seconds)


@dataclass
class Eye:
    """Looks at a run every millisecond.

    Attributes:
        requests: How many had been sent when it last looked.
        when_unavailable: How many had been sent when the run first took the endpoint for unavailable; None if it did not.
    """

    requests: int = 0
    when_unavailable: int | None = None

    @asynccontextmanager
    async def watching(self, look: Callable[[], Progress]) -> AsyncIterator[None]:
        async def keep() -> None:
            while True:
                seen = look()
                self.requests = seen.requests
                if seen.waiting and self.when_unavailable is None:
                    self.when_unavailable = seen.requests
                await asyncio.sleep(0.001)

        task = asyncio.create_task(keep())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def until(true: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait until something is true."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it never came to that"
        await asyncio.sleep(0.002)


async def raised(work: Awaitable[object], kind: type[BaseException]) -> str:
    """Return the message of the *kind* of error that *work* must end with, and not hang."""
    try:
        async with asyncio.timeout(60):
            await work
    except kind as error:
        return str(error)
    raise AssertionError(f"it ended well instead of with {kind.__name__}")


def chats(server: FaultServer) -> list[Entry]:
    """The requests about rows, in the order of their arrival."""
    return sorted((entry for entry in server.entries if entry.text), key=lambda entry: entry.at)
