"""Who answers rows before they are asked about one by one: batches, other processes, an earlier config, and a student."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from pipeline.engine.lifecycle import Execution
from pipeline.job.decisions import may_be_carried
from pipeline.job.job import Job
from pipeline.job.state import has_batches
from pipeline.records import Prompts, Span
from pipeline.telemetry.summary import Side

if TYPE_CHECKING:
    from pipeline.engine.student.labels import CarriedLabels, StudentLabels

Read = Callable[[Iterable[Span]], Iterator[tuple[Span, Prompts]]]
"""What reads the prompts of spans, a chunk at a time."""


class Ahead:
    """Has rows answered ahead of the journey, which then finds their answers; most jobs have nobody for that."""

    def __init__(self, execution: Execution) -> None:
        self._execution = execution
        self._student: StudentLabels | None = None
        self._carried: CarriedLabels | None = None

    async def answer(self, spans: Sequence[Span], read: Read) -> Job:
        """Have the rows of *spans* answered by all who can; returns the job, which knows what was decided about them.

        Raises:
            PipelineError: If one of them fails, or waits for a batch that nobody wants to wait for.
        """
        execution = self._execution
        await self._batches(spans, read)
        # What other processes have been answered is in the ledger by then.
        await execution.workers.answer(spans, execution.record, execution.resolver.ledger)
        if spans and (carried := self._opened_carried()) is not None:
            await carried.settle(read)
            read = carried.without_its_own(read)
        student = self._opened_student() if spans else None
        return execution.job if student is None else await student.settle(read)

    async def side(self) -> Side | None:
        """Return what the student has ordered twice, which is no row's; None if it has ordered nothing."""
        student = self._opened_student()  # an earlier execution may have ordered it
        return None if student is None else await student.side()

    def _opened_student(self) -> "StudentLabels | None":
        job = self._execution.job
        if self._student is None and job.config.student is not None and job.options.selection is None:
            from pipeline.engine.student.labels import student_of  # noqa: PLC0415 - few jobs have one

            self._student = student_of(self._execution)
        return self._student

    def _opened_carried(self) -> "CarriedLabels | None":
        job = self._execution.job
        if self._carried is None and job.options.selection is None and may_be_carried(job):
            from pipeline.engine.student.labels import carried_of  # noqa: PLC0415 - few jobs have any

            self._carried = carried_of(self._execution)
        return self._carried

    async def _batches(self, spans: Sequence[Span], read: Read) -> None:
        job = self._execution.job
        if job.options.offline or not has_batches(job.config):
            return
        from pipeline.engine.batches.lane import BatchLane  # noqa: PLC0415 - few runs have any
        from pipeline.llm.batch.book import Book  # noqa: PLC0415 - as above

        with Book(job.config.state.dir) as book:
            await BatchLane(self._execution, book).answer(lambda: read(spans))
