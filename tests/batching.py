"""A simulator in a thread, which takes batches, and the job that hands them in: what the tests of the batch lane share."""

import asyncio
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl

from pipeline.config.simulate.faults import BatchFault
from pipeline.llm.batch.book import Book, Submission
from pipeline.servers.simulator.server import Simulator
from pipeline.servers.simulator.settings import SimulatorSettings
from pipeline.system.clock import Clock
from tests.jobs import JobFiles

PRICE = {"input": 1.0, "output": 4.0, "batch": {"input": 0.5, "output": 2.0}}
"""US dollars per million tokens."""


class Peer:
    """A simulator in a thread of its own.

    Attributes:
        server: The simulator.
    """

    def __init__(self, server: Simulator) -> None:
        self.server = server

    @property
    def base_url(self) -> str:
        return self.server.base_url

    @property
    def billed(self) -> int:
        """Lines and requests that are on the bill."""
        return self.server.log.billed

    @property
    def paid_twice(self) -> int | None:
        """Prompts that are on the bill more than once."""
        return self.server.log.repeats

    def plan(self, *faults: BatchFault | None) -> None:
        """Have the next batches go wrong in these ways."""
        self.server.batches.planned.extend(faults)

    @property
    def made(self) -> int:
        """Batches that were made."""
        return len(self.server.batches._batches)

    @property
    def files(self) -> int:
        """Files that lie there."""
        return len(self.server.batches._files)

    def finish(self) -> None:
        """Have the batches end at the next look."""
        self.server.batches._settings = SimulatorSettings(batch_seconds=0)


@contextmanager
def peer(**settings: Any) -> Iterator[Peer]:
    """Run a simulator with *settings* in a thread while the block runs."""
    ready, stop = threading.Event(), asyncio.Event()
    found: list[Any] = []

    async def serve() -> None:
        async with Simulator(SimulatorSettings(**settings)) as server:
            found.extend([server, asyncio.get_running_loop()])
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    ready.wait()
    try:
        yield Peer(found[0])
    finally:
        found[1].call_soon_threadsafe(stop.set)
        thread.join()


def batch_job(folder: Path, base_url: str, rows: list[str | None], **model: Any) -> JobFiles:
    """Return a job that hands *rows* in as batches."""
    job = JobFiles(folder, base_url)
    job.table(rows)
    return job.set(model={"lane": "batch", "price": PRICE, **model})


def under_way(job: JobFiles) -> list[Submission]:
    """Return what the job's book says is under way."""
    with Book(job.folder / "state") as book:
        return book.submissions()


def labels(job: JobFiles) -> list[str | None]:
    """Return the labels in the output."""
    return pl.read_parquet(job.output)["label"].to_list()


def bills(job: JobFiles) -> Mapping[str, float]:
    """Return the sums of the output's tokens and costs."""
    names = ["prompt_tokens", "completion_tokens", "cost_usd"]
    found: dict[str, float] = pl.read_parquet(job.output).select(pl.col(names).sum()).row(0, named=True)
    return found


class Quick:
    """A clock on which every wait is over at once, and has taken as long as it was to take."""

    def __init__(self) -> None:
        self.waited = 0.0
        real = Clock()
        self.clock = Clock(
            now=lambda: real.now() + self.waited,
            sleep=self._sleep,
            wall=lambda: real.wall() + self.waited,
        )

    async def _sleep(self, seconds: float) -> None:
        self.waited += seconds
        await asyncio.sleep(0)
