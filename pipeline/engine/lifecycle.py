"""One execution of a run: the resources it opens, how it stops, and how much it has done."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from pipeline import storage
from pipeline.engine.asking import Asked, sent
from pipeline.engine.brake import Brake
from pipeline.engine.ending import kept, unanswered, waits
from pipeline.engine.escalation import escalation_of
from pipeline.engine.packing.packs import Packs
from pipeline.engine.resolver import Resolver
from pipeline.engine.workers import Workers
from pipeline.errors import DiskError, InterruptedRunError, LockedError
from pipeline.job.fence import Fence
from pipeline.job.job import Job
from pipeline.job.workspace import PUBLISHED, RunRecord
from pipeline.ledger import Ledger
from pipeline.llm.request import Asker, Figures
from pipeline.outputs.delta.intent import Append
from pipeline.outputs.destination import digest_of
from pipeline.outputs.writers.formats import DELTA, PARQUET
from pipeline.system.clock import Clock
from pipeline.system.shutdown import Stop
from pipeline.system.threads import Threads
from pipeline.tasks.parse import Parser
from pipeline.telemetry.pace import Progress
from pipeline.telemetry.summary import RunResult

log = logging.getLogger(__name__)

T = TypeVar("T")


class Execution:
    """One execution of a run, from opening the ledger to the last answer that arrives after a stop.

    Attributes:
        job: The job.
        fence: Guards every write and request.
        clock: The time.
        threads: Runs what blocks on the disk.
        resolver: Finds the answers to prompts.
        second: Asks a second model where the first one is unsure; None if there is none.
        answers: Either of both: finds the answers by which rows are labelled.
        asked: Whom the run asks, one model or two.
        packs: Rows that are asked together.
        record: The run's record, without the effort of this execution until `finish`.
    """

    def __init__(self, job: Job, fence: Fence, stop: Stop, clock: Clock) -> None:
        self.job, self.fence = job, fence
        self._stop, self.clock = stop, clock
        self._started = clock.now()
        options = job.options
        # A partial output is made anew each time: there may be more answers by now.
        self.record, self._continued = job.workspace.begin_or_continue(
            job.undecided, clock, job.about, anew=options.is_partial, members=job.new_members
        )
        self._resources, self.threads = AsyncExitStack(), Threads()
        self.resolver = Resolver(
            Parser(job.config.task, job.calibration),
            self.record.run_id,
            retry=options.retry,
            open_asker=self.open_asker,
            brake=Brake(job.config.limits, job.source.rows, stop.set_reason, warns=job.second is None),
            continued=self._continued,
            leaves_open=options.is_partial,
            aliases=job.task.aliases,
        )
        self.packs = Packs(job, self.record.run_id, clock, self.resolver)
        self.workers = Workers(job, fence, stop)
        self.asked = Asked(
            self._resources, self.resolver, self.record.run_id, job.config.limits.max_cost_usd,
            stop=stop.set_reason, before_send=fence.ensure_fresh, clock=clock,
        )  # fmt: skip
        self._first = self.asked.on_demand(lambda: self.asked.opened(job, packing=self.packs.packing))
        self.second = escalation_of(job, self.asked, continued=self._continued)
        self.answers = self.second or self.resolver
        self._stopping = threading.Event()  # read by the thread that publishes
        stop.on_request = self._say_stopping

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Keep the ledger open while the block runs, and the endpoint once it is needed."""
        ledger = Ledger.open(
            self.job.config.state.dir, on_durable=self.answers.on_durable, on_failure=self._stop.set_reason
        )
        try:
            # The endpoint is closed before the ledger, which takes its last answers.
            async with ledger as self.resolver.ledger, self._resources:
                yield
        finally:
            self._save_effort()

    def keep_open(self, resource: AbstractContextManager[T]) -> T:
        """Open a *resource* that is closed once no thread works with it any more; call it in the block of `opened`."""
        return self._resources.enter_context(resource)

    async def until_stopped(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Return the result of *work*; if asked to stop first, let requests in flight finish and raise the reason."""
        working = asyncio.create_task(work())
        stopping = asyncio.create_task(self._stop.requested.wait())
        try:
            with self._stop.deadline(self.job.config.limits.max_runtime):
                await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
            # Work that has ended wins: its output is published, or its own error says more than the stop.
            if self._stop.reason is None or working.done():
                return await working
            raise self._stop.reason
        finally:
            stopping.cancel()
            await self._shut_down(working)

    async def _shut_down(self, work: asyncio.Task[T]) -> None:
        """Cancel *work* and wait for its threads and for the answers to requests in flight."""
        self._stopping.set()
        draining = asyncio.create_task(self._drain())  # first of all: nothing more is sent from here on
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        await self.packs.cancel()
        if self.second is not None:
            await self.second.cancel()
        await self.threads.join()
        await draining

    async def _drain(self) -> None:
        """Wait for requests in flight as long as the config allows, or until the stop is urgent."""
        if not self.asked.is_open:
            return
        if self._stop.reason is None and self.figures.sending:
            self._say_stopping()
        seconds = self.job.config.limits.drain
        draining = asyncio.create_task(self.asked.drain(seconds))
        urgent = asyncio.create_task(self._stop.urgent.wait())
        await asyncio.wait({draining, urgent}, return_when=asyncio.FIRST_COMPLETED)
        urgent.cancel()
        await asyncio.gather(draining, self.asked.drain(0))  # abandons what is still in flight
        await self.resolver.ledger.flush()

    def _say_stopping(self) -> None:
        """Say what a stop waits for, at once: who presses Ctrl-C and sees nothing presses it again, and loses answers."""
        sending = self.progress(0, 0).in_flight
        level = logging.WARNING if self._stop.signalled else logging.INFO
        said = waits(sending, self.job.config.limits.drain, self._stop.signalled)
        log.log(level, "stopping: %s", said, extra={"bare": True})

    def kept(self, rows_done: int) -> str | None:
        """Return what of a run that ends early stays, given that *rows_done* rows are in parts; None if nothing does."""
        return kept(self.progress(rows_done, 0), self.spent_usd, signalled=self._stop.signalled is not None)

    @property
    def figures(self) -> Figures:
        """What this execution has asked for, and where that stands."""
        return self.second.added_to(self._first.figures) if self.second else self._first.figures

    @property
    def spent_usd(self) -> float | None:
        """What the run has cost so far, over all its executions; None if nothing was sent, or no price is known."""
        found = self.figures
        return found.spent_usd if found.price_source else self.workers.spent_usd

    async def open_asker(self, keys: Sequence[bytes]) -> Asker:
        """Return who asks, opening the endpoint when the first prompt has no stored answer, *keys* being the first.

        Raises:
            InterruptedRunError: If nothing may be sent.
        """
        if self.job.options.offline:
            raise unanswered(keys, self.job.config.state.dir)
        return await self._first.asker()

    def ensure_running(self) -> None:
        """Check that the run is not stopping; called now and then by the thread that publishes.

        Raises:
            PipelineError: If it is, or a lock was lost.
        """
        if self._stopping.is_set():
            raise self._stop.reason or InterruptedRunError("stopped while publishing; run again to continue")
        self.fence.ensure()

    @property
    def price_source(self) -> str | None:
        """Where the price is from; None if nothing was sent, or no price is known."""
        return self.figures.price_source if self.asked.is_open else self.workers.price_source

    @property
    def latencies(self) -> Mapping[float, int]:
        """How many replies took how long, by the buckets of `telemetry.latency`."""
        return self.workers.latencies + self.figures.counters.latencies

    def effort(self) -> RunRecord:
        """Return the run's record with the effort of this execution added."""
        counters, seconds = self.figures.counters, self.clock.now() - self._started
        own = self.record.after(counters.requests, counters.retries, counters.throttled, seconds)
        return self.workers.after(own)

    def remember(self, output: Path) -> None:
        """Record the content of the *output* that is about to appear, if it cannot say itself that it is ours."""
        if self.job.form != PARQUET:
            self.record = self.record.remembering(digest_of(output))
            self.fence.guard(self.job.workspace.save, self.record)

    def appending(self) -> Append | None:
        """Return who appends to the output, if it is a table."""
        if self.job.form != DELTA:
            return None
        return Append(self.job.workspace.owner(), self.record.batch, self._intend)

    def _intend(self, batch: int) -> None:
        self.record = replace(self.record, batch=batch)
        self.fence.guard(self.job.workspace.save, self.record)

    def finish(self, effort: RunRecord, result: RunResult) -> None:
        """Record that the run is published, with its *result*."""
        self.record = replace(
            effort,
            identity=self.job.identity,
            status=PUBLISHED,
            output=storage.whole_stamp(self.job.output),
            digests=self.record.digests,
            summary=result.as_dict(),
        )
        self.fence.guard(self.job.workspace.save, self.record)

    def _save_effort(self) -> None:
        if self.record.status != PUBLISHED:
            with suppress(DiskError, LockedError):  # the run is ending because of either already
                self.fence.guard(self.job.workspace.save, self.effort())

    def progress(self, rows_done: int, rows_failed: int) -> Progress:
        """Return the run's progress, given that *rows_done* rows are in parts and *rows_failed* of them failed."""
        rows = self.job.source.rows
        own = replace(
            sent(self.figures, self.asked.spent_before),
            rows=rows,
            done=min(rows, rows_done + self.answers.answered),
            failed=rows_failed,
            reused=self.resolver.reused,
            **(self.second.waiting.figures() if self.second else {}),
            stopping=self._stop.requested.is_set(),
        )
        return self.workers.joined(own)
