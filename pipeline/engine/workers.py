"""Workers: processes that answer the keys of a run, a slice each, into its one ledger; the run itself publishes."""

import asyncio
import logging
import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from pipeline.config import Config
from pipeline.config.slices import Slice
from pipeline.engine.worker import Assignment, Worker, joined, summed
from pipeline.job.fence import Fence
from pipeline.job.job import Job
from pipeline.job.workspace import RunRecord, Workspace
from pipeline.ledger import Ledger
from pipeline.records import Span
from pipeline.system.atomic import make_private
from pipeline.system.shutdown import Stop
from pipeline.telemetry.pace import Progress

FOLDER = ".workers"
"""Hidden, so that what a killed run leaves of it is tidied away."""

GRACE_SECONDS = 5.0
"""How much longer than the requests in flight a worker may take to stop, before it is killed."""


class Workers:
    """The workers of a run."""

    def __init__(self, job: Job, fence: Fence, stop: Stop) -> None:
        self._job, self._fence, self._stop = job, fence, stop
        self._workers: list[Worker] = []
        self._spent_before, self._before = 0.0, 0  # by the run, in US dollars; its rows that are in parts

    async def answer(self, spans: Sequence[Span], record: RunRecord, ledger: Ledger) -> None:
        """Have the keys of *spans* answered, if the job has workers; returns once all are answered, or the budget is spent.

        Raises:
            PipelineError: The first error of a worker; the others have been stopped.
        """
        count = min(self._job.options.workers, most_workers(self._job.config))
        if count < 2 or self._job.options.offline or self._workers or not spans:  # noqa: PLR2004
            return
        spent = self._spent_before = await ledger.spent(record.run_id)
        self._before = self._job.source.rows - sum(span.rows for span in spans)
        self._workers = [
            Worker(self._assignment(Slice(index, count), spans, record, spent)) for index in range(count)
        ]
        said: set[str] = set()
        tasks = [asyncio.create_task(worker.work(said)) for worker in self._workers]
        try:
            first, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            await self._end(tasks)
            shutil.rmtree(self._job.workspace.folder / FOLDER, ignore_errors=True)
            await asyncio.gather(*tasks, return_exceptions=True)  # or asyncio logs what nobody has asked for
        for task in first:  # what the others end with is that they were stopped
            if task.exception() is not None and self._stop.reason is None:
                task.result()

    async def _end(self, tasks: Iterable["asyncio.Task[None]"]) -> None:
        """Stop those that still work, and wait for them; at once if the stop becomes urgent."""
        working = {task for task in tasks if not task.done()}
        if not working:
            return
        ended = asyncio.create_task(asyncio.wait(working))
        urgent = asyncio.create_task(self._stop.urgent.wait())
        steps = (
            (Worker.stop, {ended, urgent}, self._job.config.limits.drain + GRACE_SECONDS),
            (Worker.stop, {ended}, GRACE_SECONDS),
            (Worker.kill, {ended}, None),
        )
        for step, events, patience in steps:
            for worker in self._workers:
                step(worker)
            await asyncio.wait(events, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
            if ended.done():
                break
        urgent.cancel()

    def _assignment(self, part: Slice, spans: Sequence[Span], record: RunRecord, spent: float) -> Assignment:
        place = Workspace(self._job.workspace.folder / FOLDER / str(part), self._job.workspace.output)
        make_private(place.folder)
        place.save(replace(record, requests=0, retries=0, throttled=0, seconds=0.0))
        config = _shared_out(self._job.config, part, self._job.workspace.folder / FOLDER / "quota", spent)
        level = logging.getLogger("pipeline").getEffectiveLevel()
        job = replace(self._job, config=config, workspace=place)
        return Assignment(job, part, spans, self._fence.leashes(place.folder.parent), level)

    def joined(self, own: Progress) -> Progress:
        """Return the progress of the run and of its workers together; *own* is that of the run."""
        return joined(own, [worker.total for worker in self._workers], self._before)

    def after(self, effort: RunRecord) -> RunRecord:
        """Return the *effort* of the run with that of its workers."""
        done = summed([worker.total for worker in self._workers])
        return effort.after(done.requests, done.retries, done.throttled, 0.0)

    @property
    def spent_usd(self) -> float | None:
        """What the run has cost with all that they have sent, in US dollars; None if that is nothing, or no price is known."""
        cost = summed(worker.total for worker in self._workers).cost_usd
        return None if cost is None else self._spent_before + cost

    @property
    def price_source(self) -> str | None:
        """Where the price is from."""
        ends = (worker.end for worker in self._workers)
        return next((end.price_source for end in ends if end and end.price_source), None)

    @property
    def latencies(self) -> Counter[float]:
        """How many replies took how long."""
        found: Counter[float] = Counter()
        for worker in self._workers:
            found.update(worker.end.latencies if worker.end else {})
        return found


def most_workers(config: Config) -> int:
    """Return how many workers may share the limits: each takes one request at once at least, at every endpoint."""
    return min(each.limits.max_concurrency for each in config.each_endpoint())


def _shared_out(config: Config, part: Slice, quota: Path, spent: float) -> Config:
    """Return *config* with the limits of one worker: a share of what is left of the budget, and the quota with all others."""
    limits = config.limits
    shared = limits.model_copy(update={"shared": limits.shared or str(quota)}).divided(part)
    left = None if limits.max_cost_usd is None else spent + max(0.0, limits.max_cost_usd - spent) / part.count
    limits = shared.model_copy(update={"max_cost_usd": left, "max_runtime": None})
    return config.model_copy(update={"limits": limits})
