"""The journey of a row, from the input to the published output.

    survey the input ─► for each chunk: prompts ─► answers (ledger, or asked) ─► part ─► publish ─► report

A chunk is done when its part is written; a run is done when its output is published. Whatever happens in
between, the same command continues: answers are in the ledger before anything is done with them, and parts
only save reading chunks again.
"""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from dataclasses import replace
from functools import partial

from pipeline.clock import Clock
from pipeline.config import Config
from pipeline.desk import Desk
from pipeline.errors import DiskError, InterruptedRunError, LockedError, as_pipeline_error
from pipeline.fence import Fence, fenced
from pipeline.garbage import seldom_searched
from pipeline.inputs.prefetch import prefetch
from pipeline.inputs.read import read_chunks
from pipeline.inputs.source import ensure_unchanged, whole
from pipeline.job import Job, RunOptions, ensure_output
from pipeline.ledger import Ledger
from pipeline.llm.asker import Asker
from pipeline.llm.client import Client
from pipeline.llm.key import request_headers
from pipeline.llm.request import Counters
from pipeline.outputs.columns import Answered, failed_rows, part_batch, part_schema
from pipeline.outputs.parts import DamagedPartError, Parts, gaps
from pipeline.outputs.publish import publish
from pipeline.outputs.report import Tally
from pipeline.publication import publication
from pipeline.records import Prompts, Span
from pipeline.result import RunResult, result_of, save_report
from pipeline.serving import endpoint_url
from pipeline.start import Start, started
from pipeline.state import PUBLISHED, RunRecord, stamp
from pipeline.stop import Stop
from pipeline.tasks.parse import Parser
from pipeline.threads import Threads
from pipeline.watch import Progress, Silent, Watcher

log = logging.getLogger(__name__)

OPEN_CHUNKS = 6
"""Chunks in work at once: enough that a slow row at a chunk's end does not idle the workers."""

ROUNDS = 10  # damaged parts are made again so often before the disk is blamed


async def run_job(
    config: Config,
    options: RunOptions | None = None,
    *,
    watch: Watcher | None = None,
    clock: Clock | None = None,
) -> RunResult:
    """Label the table that *config* describes, on the running event loop; the rest is as for `api.run`."""
    with started(config, options or RunOptions()) as start:
        return start.result or await go_on(start, watch=watch, clock=clock)


async def go_on(
    start: Start, *, watch: Watcher | None = None, clock: Clock | None = None, stop: Stop | None = None
) -> RunResult:
    """Label the table of a job that has been started; the result and the errors are those of `api.run`."""
    clock, stop = clock or Clock(), stop or Stop()
    with stop.listening(), seldom_searched():
        async with fenced(start.job.output, start.lock, clock, stop.request) as fence:
            ensure_output(start.job)
            return await Run(start.job, fence, stop, watch or Silent(), clock).go()


class Run:
    """One execution of a run."""

    def __init__(self, job: Job, fence: Fence, stop: Stop, watch: Watcher, clock: Clock) -> None:
        self._job, self._fence, self._stop, self._watch, self._clock = job, fence, stop, watch, clock
        self._started = clock.now()
        self._record, self._continued = job.workspace.begin_or_continue(job.identity, clock)
        self._parts = Parts(job.workspace.parts, self._record.run_id, part_schema(job.config.task.kind))
        self._asker: Asker | None = None
        self._resources, self._opening = AsyncExitStack(), asyncio.Lock()
        self._threads = Threads()
        self._ending = threading.Event()
        self._rows_done = self._rows_failed = 0
        parser = Parser(job.config.task)
        self._desk = Desk(parser, self._record.run_id, retry=job.options.retry, asker=self._open_asker)

    async def go(self) -> RunResult:
        """Do all that is left to do."""
        ledger = Ledger.open(
            self._job.config.state.dir, on_durable=self._desk.durable, on_failure=self._stop.request
        )
        try:
            async with ledger as self._desk.ledger, self._resources, self._watch.watching(self.progress):
                return await self._work_until_stopped()
        except BaseExceptionGroup as group:
            raise as_pipeline_error(group) from group
        finally:
            self._remember_effort()

    async def _work_until_stopped(self) -> RunResult:
        """Label and publish; on a reason to stop, let what is in flight arrive and raise the reason."""
        work = asyncio.create_task(self._label_and_publish())
        stopping = asyncio.create_task(self._stop.requested.wait())
        try:
            with self._stop.after(self._job.config.limits.max_runtime):
                await asyncio.wait({work, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if self._stop.reason is None or work.done():
                return await work
            raise self._stop.reason
        finally:
            stopping.cancel()
            await self._wind_up(work)

    async def _wind_up(self, work: asyncio.Task[RunResult]) -> None:
        """End the work; nothing that was paid for is left behind, unless somebody is in a hurry."""
        self._ending.set()
        draining = asyncio.create_task(self._drain())  # first of all: nothing more is sent from here on
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        await self._threads.finish()
        await draining

    async def _drain(self) -> None:
        if self._asker is None:
            return
        draining = asyncio.create_task(self._asker.drain(self._job.config.limits.drain))
        hurried = asyncio.create_task(self._stop.hurried.wait())
        await asyncio.wait({draining, hurried}, return_when=asyncio.FIRST_COMPLETED)
        hurried.cancel()
        await asyncio.gather(draining, self._asker.drain(0))  # what is left is given up
        await self._desk.ledger.flush()

    async def _label_and_publish(self) -> RunResult:
        source = self._job.source
        for _ in range(ROUNDS):
            done = await self._threads.run(self._fence.guarded, self._parts.spans, whole(source))
            self._rows_done = sum(span.rows for span in done)
            await self._label(list(gaps(whole(source), done)))
            ensure_unchanged(source)
            try:
                return await self._threads.run(self._fence.guarded, self._publish)
            except DamagedPartError as error:
                log.warning("%s: is damaged; its rows are made again from the ledger", error)
        raise DiskError(
            f"{self._parts.folder}: parts are damaged again and again; repair the disk, then run again"
        )

    async def _label(self, spans: Sequence[Span]) -> None:
        """Take the rows of *spans* through the journey, a few chunks at a time."""
        room = asyncio.Semaphore(OPEN_CHUNKS)
        async with asyncio.TaskGroup() as open_chunks, aclosing(prefetch(self._read(spans))) as stream:
            async for span, prompts in stream:
                await room.acquire()
                task = open_chunks.create_task(self._label_chunk(span, prompts))
                task.add_done_callback(lambda _: room.release())

    def _read(self, spans: Iterable[Span]) -> Iterator[tuple[Span, Prompts]]:
        """Yield the prompts of each chunk. Runs in the thread that reads ahead: the loop has requests to send."""
        for chunk in read_chunks(self._job.source, self._job.config.task.columns, spans):
            yield chunk.span, self._job.task.prompts(chunk.columns)

    async def _label_chunk(self, span: Span, prompts: Prompts) -> None:
        answered = await self._desk.answers(prompts)
        failed = await self._threads.run(self._write_part, span, prompts, answered)
        self._rows_failed += failed
        self._rows_done += span.rows

    def _write_part(self, span: Span, prompts: Prompts, answered: Answered) -> int:
        """Write the part of a chunk; returns how many of its rows failed. Runs in a thread, too."""
        batch = part_batch(self._job.config.task.kind, prompts, answered)
        self._fence.guarded(self._parts.write, span, batch)
        return failed_rows(batch)

    async def _open_asker(self) -> Asker:
        """Open the way to the endpoint; called when the first prompt has no answer."""
        async with self._opening:
            if self._asker is None:
                self._asker = await self._resources.enter_async_context(self._asking())
        return self._asker

    @asynccontextmanager
    async def _asking(self) -> AsyncIterator[Asker]:
        config = self._job.config
        spent = await self._desk.ledger.spent(self._record.run_id) if self._continued else 0.0
        headers = partial(request_headers, config.model)
        headers()  # a missing key is found before anything is started
        async with endpoint_url(config) as url, Client.open(url, headers) as client:
            asker = Asker(
                client, self._job.task, config, self._record.run_id, deliver=self._desk.ledger.append,
                stop=self._stop.request, before_send=self._fence.ensure_lately, clock=self._clock, spent_usd=spent,
            )  # fmt: skip
            await asker.start()
            yield asker

    def _publish(self) -> RunResult:
        """Publish the output and remember the run as finished. Runs in a thread."""
        job, record, guarded = self._job, self._effort(), self._fence.guarded
        ours, tally = publication(job, record.run_id, self._parts), Tally(record.run_id)
        last_look = partial(guarded, ensure_unchanged, job.source)
        publish(ours, self._parts, tally, go_on=self._go_on, before_rename=last_look)
        source = self._asker.billing.source if self._asker else None
        result = result_of(record, tally, job, price_source=source)
        guarded(save_report, job.workspace.report, result, tally)
        self._record = replace(record, status=PUBLISHED, output=stamp(job.output), summary=result.as_dict())
        guarded(job.workspace.save, self._record)
        guarded(self._parts.remove)
        return result

    def _go_on(self) -> None:
        if self._ending.is_set():
            raise self._stop.reason or InterruptedRunError("stopped while publishing; run again to continue")
        self._fence.ensure()

    def _effort(self) -> RunRecord:
        """Return the record with what this execution has done added."""
        counters = self._asker.counters if self._asker else Counters()
        seconds = self._clock.now() - self._started
        return self._record.after(counters.requests, counters.retries, counters.throttled, seconds)

    def _remember_effort(self) -> None:
        if self._record.status != PUBLISHED:
            with suppress(DiskError, LockedError):  # that has been told already
                self._fence.guarded(self._job.workspace.save, self._effort())

    def progress(self) -> Progress:
        """Return where the run stands, for whoever watches."""
        asker = self._asker
        counters = asker.counters if asker else Counters()
        return Progress(
            rows=self._job.source.rows,
            done=min(self._job.source.rows, self._rows_done + self._desk.answered),
            failed=self._rows_failed,
            reused=self._desk.reused,
            in_flight=asker.concurrency.sending if asker else 0,
            waiting=asker is not None and asker.health.open,
            requests=counters.requests,
            retries=counters.retries,
            tokens=counters.prompt_tokens + counters.completion_tokens,
            cost_usd=asker.budget.spent_usd if asker and asker.billing.source else None,
        )
