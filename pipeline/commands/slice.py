"""`run --slice`: ask about the keys of one slice, and keep the answers. Nothing is written but the ledger."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace

from pipeline.config.slices import Slice
from pipeline.engine.lifecycle import Execution
from pipeline.inputs.intake.copies import drop
from pipeline.inputs.source import all_spans, ensure_unchanged
from pipeline.job.fence import fenced
from pipeline.job.kept.snapshot import Snapshots
from pipeline.job.prepare import Start
from pipeline.job.state import in_store
from pipeline.journey import Journey
from pipeline.ledger.store import RunTotals
from pipeline.records import LABELLED, NOT_FAILED, Prompts, Span, Status
from pipeline.system.clock import Clock
from pipeline.system.memory import relaxed_gc
from pipeline.system.shutdown import Stop
from pipeline.telemetry.pace import Progress
from pipeline.telemetry.progress import Silent, Tee, Watcher
from pipeline.telemetry.summary import RunResult


async def run_slice(
    start: Start, *, watch: Watcher | None = None, clock: Clock | None = None, stop: Stop | None = None
) -> RunResult:
    """Answer the keys of a slice, whose job is prepared and locked; result and errors are those of `api.run`."""
    clock, stop, job = clock or Clock(), stop or Stop(), start.job
    with stop.listening(), relaxed_gc():
        async with fenced(None, start.lock, clock, stop.set_reason) as fence:
            execution = Execution(job, fence, stop, clock)
            saved = Snapshots(
                job.workspace, execution.record.run_id, fence, clock, lambda: execution.spent_usd
            )
            result = await Answering(execution, Tee(watch or Silent(), saved), job.options.part).go()
            fence.guard(drop, job.source)  # as a run does once it has published
            return result


class Answering(Journey):
    """The keys of one slice on their way to the ledger: the journey without its parts and its output."""

    def __init__(
        self, execution: Execution, watch: Watcher, part: Slice | None, spans: Iterable[Span] | None = None
    ) -> None:
        """Prepare to answer the keys of *part* in *spans*, by default in all of the input."""
        super().__init__(execution, watch)
        self._part = part or Slice(0, 1)
        self._spans = list(all_spans(self._job.source) if spans is None else spans)
        self._statuses: Counter[Status] = Counter()

    async def _label_and_publish(self) -> RunResult:
        await self._label(self._spans)
        ensure_unchanged(self._job.source)
        effort, record = self._execution.effort(), self._execution.record
        result = await self._result_of(record.run_id)
        result = replace(
            result, requests=effort.requests, retries=effort.retries,
            throttled=effort.throttled, seconds=round(effort.seconds, 3),
        )  # fmt: skip
        await self._threads.run(self._fence.guard, self._execution.finish, effort, result)
        self._published = result
        return result

    def _read(self, spans: Iterable[Span]) -> Iterator[tuple[Span, Prompts]]:
        for span, prompts in super()._read(spans):
            self._execution.packs.forget(prompts, but=self._part.owns)
            yield span, prompts.where(self._part.owns)

    async def _label_chunk(self, span: Span, prompts: Prompts) -> None:
        answered = await self._execution.answers.resolve(prompts)
        self._execution.packs.forget(prompts)
        statuses = answered.statuses()
        found = Counter(statuses[key] for key in prompts.keys if key in statuses)
        self._statuses.update(found)
        left = len({*prompts.keys} - {None} - statuses.keys())  # to the run, which asks the second model
        self._rows_failed += sum(count for status, count in found.items() if status not in NOT_FAILED)
        self._rows_done += span.rows - left * self._part.count
        self._execution.resolver.answered -= len(answered)

    async def _result_of(self, run: str) -> RunResult:
        """Return what the slice has come to: its rows, and what they have cost."""
        job, statuses = self._job, self._statuses
        paid = await self._paid(run)
        labelled = sum(statuses[status] for status in LABELLED)
        return RunResult(
            run_id=run, status="done", rows=statuses.total(), ok=statuses[Status.OK],
            failed=statuses.total() - labelled, empty=0, unsure=statuses[Status.UNSURE],
            reused=self._execution.resolver.reused, duplicates=0, requests=0, retries=0, throttled=0,
            prompt_tokens=paid.prompt_tokens, cached_tokens=0, completion_tokens=paid.completion_tokens,
            cost_usd=paid.cost_usd, cost_source=self._execution.price_source, seconds=0.0,
            output=str(in_store(job.config) or job.config.state.dir), report=str(job.workspace.record),
        )  # fmt: skip

    async def _paid(self, run: str) -> RunTotals:
        """Return what *run* has paid for, which takes a look at every answer in the ledger."""
        return await self._execution.resolver.ledger.paid(run)

    def progress(self) -> Progress:
        """Return how far through the whole input the slice is."""
        found = self._execution.progress(self._rows_done, self._rows_failed)
        mine = self._execution.answers.answered * (
            self._part.count - 1
        )  # of so many more rows others take care
        return replace(found, done=min(found.rows, found.done + mine))
