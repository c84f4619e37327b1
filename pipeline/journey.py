"""THE JOURNEY OF A ROW, from the input to the published output: read this first.

    survey the input ─► for each chunk: prompts ─► answers (ledger, or asked) ─► part ─► publish ─► report

A chunk is done when its part is written; a run is done when its output is published. Whatever happens in between,
the same command continues: answers are in the ledger before anything is done with them, so none is paid for twice,
and parts only save reading chunks again.

Where each step lives: `job.prepare` surveys, `inputs` reads, `tasks` makes prompts, `engine.resolver` finds answers,
`outputs` writes parts and publishes. `engine.lifecycle` starts and stops what they need.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from typing import Any

from pipeline.engine.ahead import Ahead
from pipeline.engine.canary import Canary, Finding
from pipeline.engine.gates import ensure_gates_open
from pipeline.engine.lifecycle import Execution
from pipeline.engine.publication import publication_of
from pipeline.errors import DiskError, HeldError, PipelineError, as_pipeline_error
from pipeline.inputs.read import read_chunks
from pipeline.inputs.source import ensure_unchanged
from pipeline.job.fence import Fence, fenced
from pipeline.job.kept.history import append
from pipeline.job.kept.snapshot import Snapshots
from pipeline.job.prepare import Start, tidy_after
from pipeline.job.result import Course, result_of, save_report
from pipeline.job.workspace import HELD, RunRecord
from pipeline.job.writable import ensure_output
from pipeline.outputs.columns import Answered, failed_rows, part_batch, part_schema, pending_rows
from pipeline.outputs.parts import DamagedPartError, Parts, gaps
from pipeline.outputs.publish import publish
from pipeline.outputs.tally import Tally
from pipeline.records import Prompts, Span
from pipeline.system.clock import Clock
from pipeline.system.memory import relaxed_gc
from pipeline.system.prefetch import prefetch
from pipeline.system.shutdown import Stop
from pipeline.tasks.gold import Agreement, GoldReader
from pipeline.telemetry.pace import Progress
from pipeline.telemetry.progress import Silent, Tee, Watcher
from pipeline.telemetry.series import Series
from pipeline.telemetry.summary import RunResult

log = logging.getLogger(__name__)

OPEN_CHUNKS = 6
"""Chunks in progress at once: enough that a slow row at a chunk's end does not idle the workers."""

ROUNDS = 10
"""How often damaged parts are made again before the disk is blamed."""


Prelude = Callable[[Start, Fence, Stop, Watcher], Awaitable[Start]]
"""What is done before the rows are labelled, with the locks held, for the job that then remains to be done."""


async def run_started(
    start: Start,
    *,
    watch: Watcher | None = None,
    clock: Clock | None = None,
    stop: Stop | None = None,
    prelude: Prelude | None = None,
) -> RunResult:
    """Label the table of a job that is prepared and locked; result and errors are those of `api.run`."""
    clock, stop, watch = clock or Clock(), stop or Stop(), watch or Silent()
    with stop.listening(), relaxed_gc():
        async with fenced(
            start.job.output, start.lock, clock, stop.set_reason, start.job.workspace.owner
        ) as fence:
            for remark in start.job.remarks:
                log.warning("%s", remark)
            ensure_output(start.job)
            if prelude is not None:
                start = await prelude(start, fence, stop, watch)
            execution = Execution(start.job, fence, stop, clock)
            due = start.job.config.limits.due(execution.record.started_at)
            if due is not None:
                from pipeline.engine.finish.watch import FinishBy  # noqa: PLC0415 - few jobs are due

                watch = Tee(watch, FinishBy(start.job, due, clock))
            saved = Snapshots(
                start.job.workspace,
                execution.record.run_id,
                fence,
                clock,
                lambda: execution.spent_usd,
                due=due,
            )
            return await Journey(execution, Tee(watch, saved)).go()


class Journey:
    """The rows of one execution on their way from the input to the output."""

    def __init__(self, execution: Execution, watch: Watcher) -> None:
        self._execution, self._watch, self._series = execution, watch, Series()
        self._job, self._fence, self._threads = execution.job, execution.fence, execution.threads
        schema = part_schema(self._job.config.task.kind)
        self._parts = Parts(self._job.workspace.parts, execution.record.run_id, schema)
        self._canary, self._finding = Canary(execution.job, execution.record.run_id), Finding()
        self._ahead = Ahead(execution)
        self._rows_done = self._rows_failed = 0
        self._published: RunResult | None = None
        self._escalation: dict[str, Any] | None = None

    async def go(self) -> RunResult:
        """Label the rows that are left, and publish."""
        try:
            look = self.progress
            async with self._execution.opened(), self._series.watching(look), self._watch.watching(look):
                return await self._execution.until_stopped(self._label_and_publish)
        except (PipelineError, BaseExceptionGroup) as error:
            failure = as_pipeline_error(error)
            if self._published is not None:
                log.warning("after the output was published: %s", failure)
                return self._published
            kept = None if isinstance(failure, HeldError) else self._execution.kept(self._rows_done)
            if kept is not None:
                failure.add_note(kept)
            if failure is error:
                raise
            raise failure from error

    async def _label_and_publish(self) -> RunResult:
        source = self._job.source
        for _ in range(ROUNDS):
            # Parts of earlier executions count, and so do those that another round has found sound.
            done = await self._threads.run(self._fence.guard, self._parts.spans, source.rows)
            self._rows_done = sum(span.rows for span in done)
            spans = list(gaps(source.rows, done))
            self._job = await self._ahead.answer(spans, self._read)
            await self._label(spans)
            ensure_unchanged(source)
            try:
                self._finding = await self._asked_anew(done)
                return await self._threads.run(self._fence.guard, self._publish)
            except DamagedPartError as error:  # and removed, so that the next round finds a gap there
                log.warning("%s: is damaged; its rows are made again from the ledger", error)
        raise DiskError(
            f"{self._parts.folder}: parts are damaged again and again; repair the disk, then run again"
        )

    async def _asked_anew(self, done: Sequence[Span]) -> Finding:
        """Ask the canary's rows anew, also those in *done* spans, whose prompts this execution has not made; return what it finds."""
        canary, resolver = self._canary, self._execution.resolver
        unmet = await self._threads.run(canary.unmet, self._parts, done)
        async with aclosing(prefetch(self._read(unmet))) as stream:
            async for _, prompts in stream:
                canary.meet(prompts)
        await canary.ask(resolver, self._execution.packs.beside)
        if self._execution.second is not None:
            await self._execution.second.spending.read()
        paid = await self._execution.packs.side(resolver.ledger)
        finding = (await canary.finding(resolver.ledger)).beside(paid)
        return finding.beside(await self._ahead.side())

    async def _label(self, spans: Sequence[Span]) -> None:
        """Take the rows of *spans* from the input to their parts, a few chunks at a time."""
        room = asyncio.Semaphore(OPEN_CHUNKS)
        async with asyncio.TaskGroup() as open_chunks, aclosing(prefetch(self._read(spans))) as stream:
            async for span, prompts in stream:
                # Waits here and not in the task, so that reading stops, too: memory holds a few chunks only.
                await room.acquire()
                task = open_chunks.create_task(self._label_chunk(span, prompts))
                task.add_done_callback(lambda _: room.release())
        await self._execution.packs.finish()

    def _read(self, spans: Iterable[Span]) -> Iterator[tuple[Span, Prompts]]:
        """Yield the prompts of each chunk. Runs in the prefetching thread, as the event loop has requests to send."""
        packs = self._execution.packs
        for chunk in read_chunks(self._job.source, packs.columns, spans):
            prompts = self._job.task.prompts(chunk.columns)
            packs.keep_alone(prompts, chunk.columns)
            yield chunk.span, prompts

    async def _label_chunk(self, span: Span, prompts: Prompts) -> None:
        answered = await self._execution.answers.resolve(prompts)
        self._execution.packs.forget(prompts)
        self._canary.meet(prompts)
        failed, pending = await self._threads.run(self._write_part, span, prompts, answered)
        self._rows_failed += failed
        self._rows_done += span.rows - pending
        self._execution.resolver.answered -= len(answered)

    def _write_part(self, span: Span, prompts: Prompts, answered: Answered) -> tuple[int, int]:
        """Write the part of a chunk and return how many of its rows failed, and how many are pending. Runs in a thread."""
        batch = part_batch(self._job.config.task.kind, prompts, answered)
        self._fence.guard(self._parts.write, span, batch)
        return failed_rows(batch), pending_rows(batch)

    def _publish(self) -> RunResult:
        """Publish the output and record the run as finished. Runs in a thread."""
        execution, job, guard = self._execution, self._job, self._fence.guard
        effort = execution.effort()
        gold = Agreement(GoldReader(job.config.task, job.source.null_words)) if job.config.task.gold else None
        output, tally = (
            publication_of(job, effort.run_id, self._parts, execution.appending()),
            Tally(effort.run_id, [each.run_id for each in job.new_members], gold=gold),
        )
        if execution.second is not None:
            self._escalation, paid = execution.second.facts(self._parts, output.parts)
            self._finding = self._finding.beside(paid)
        course = Course(self._series.until(self.progress()), execution.latencies, execution.packs.finding)
        try:
            publish(
                output, self._parts, tally,
                ensure_running=execution.ensure_running, written=execution.remember,
                before_rename=partial(self._last_check, tally),
            )  # fmt: skip
        except HeldError as error:
            held = replace(self._result(effort, tally), status=HELD)
            guard(save_report, job, held, tally, course, error.problems[:-1])
            execution.record = replace(execution.record, status=HELD)
            raise
        for remark in tally.remarks:
            log.warning("%s: %s", job.output, remark)
        result = self._result(effort, tally)
        run = guard(save_report, job, result, tally, course)
        if not job.options.is_partial:  # which is nothing to compare a run with
            guard(append, job.workspace, run)
        guard(self._canary.choose, self._parts, output.parts)
        execution.finish(effort, result)
        self._published = result  # from here on nothing makes the run fail
        # Last: if the run is killed before this, the next one finds the job finished and removes parts and copies.
        guard(self._parts.remove)
        guard(tidy_after, job)
        return result

    def _result(self, effort: RunRecord, tally: Tally) -> RunResult:
        return result_of(
            effort, tally, self._job, price_source=self._execution.price_source, side=self._finding.side,
            escalation=self._escalation,
        )  # fmt: skip

    def _last_check(self, tally: Tally) -> None:
        """Check, right before the output appears, that it is still the input's and that no gate is closed."""
        self._fence.guard(ensure_unchanged, self._job.source)
        ensure_gates_open(self._job, tally, self._finding.flips)

    def progress(self) -> Progress:
        """Return where the run stands, for its watcher."""
        return self._execution.progress(self._rows_done, self._rows_failed)
