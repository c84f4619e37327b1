"""The rows of a job that are answered, as far as they are: input, ledger and decisions tell, whether published or not."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import compress
from typing import NamedTuple

from pipeline.inputs.read import read_chunks
from pipeline.inputs.source import all_spans
from pipeline.job.job import Job
from pipeline.ledger import opened
from pipeline.records import Answer, Answers, Outcome, Prompts, Status
from pipeline.tasks.parse import Parser

Cells = Mapping[str, Sequence[str | None]]
"""The cells of some rows as text, by column."""


class AnsweredRows(NamedTuple):
    """Some rows of one chunk.

    Attributes:
        rows: Their indexes, from 0.
        prompts: Their prompts.
        cells: The cells of the columns that were asked for, as text.
        answers: The stored answer of each; None where there is none yet.
        outcomes: What each answer means; None where there is none yet. Rows without text are `empty`.
    """

    rows: Sequence[int]
    prompts: Prompts
    cells: Cells
    answers: Sequence[Answer | None]
    outcomes: Sequence[Outcome | None]


def answered_rows(
    job: Job,
    columns: Sequence[str] = (),
    *,
    wanted: Callable[[Sequence[int], Cells], Sequence[bool]] | None = None,
) -> Iterator[AnsweredRows]:
    """Yield the rows of *job*, chunk by chunk, with what the ledger has for them; sends nothing.

    Args:
        job: The job, with its input brought in.
        columns: Columns whose cells are needed beside the prompts.
        wanted: Returns which rows of a chunk are needed, given their indexes and the cells of *columns*: all by default.
            Others cost little.

    Raises:
        InputDataError: If the input cannot be read.
        DiskError: If the ledger cannot be read.
    """
    parser, task_columns = Parser(job.config.task, job.calibration), job.config.task.columns
    empty = Outcome(Status.EMPTY, error="the row has no text")
    with opened(job.config.state.dir) as store:
        for chunk in read_chunks(job.source, [*task_columns, *columns], all_spans(job.source)):
            rows: Sequence[int] = range(chunk.span.first_row, chunk.span.first_row + chunk.span.rows)
            cells = chunk.columns
            if wanted is not None:
                chosen = wanted(rows, cells)
                rows = list(compress(rows, chosen))
                cells = {name: list(compress(values, chosen)) for name, values in cells.items()}
            if not rows:
                continue
            prompts = job.task.prompts({name: cells[name] for name in task_columns})
            keys = [key for key in dict.fromkeys(prompts.keys) if key is not None]
            known = store.look_up(keys) if store and keys else Answers.of(())
            answers = [known.get(key) if key else None for key in prompts.keys]
            meant = dict(zip(known, map(parser.outcome, known.values()), strict=True))
            outcomes = [empty if key is None else meant.get(key) for key in prompts.keys]
            yield AnsweredRows(rows, prompts, {name: cells[name] for name in columns}, answers, outcomes)
