"""The rows of a job that are answered, as far as they are: input, ledger and decisions tell, whether published or not."""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from itertools import compress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from pipeline.config import Config
from pipeline.inputs.read import CHUNK_ROWS, read_chunks
from pipeline.inputs.source import Source, all_spans
from pipeline.job.job import Job
from pipeline.job.prepare import brought_in, prepare
from pipeline.ledger import opened
from pipeline.ledger.store import Store
from pipeline.records import Answer, Answers, Outcome, Prompts, Span, Status
from pipeline.tasks.parse import Parser

Cells = Mapping[str, Sequence[str | None]]
"""The cells of some rows as text, by column."""

NEAR = 64
"""Wanted rows that lie so near to each other are read in one go, with what is between them."""

EMPTY = Outcome(Status.EMPTY, error="the row has no text")


class AnsweredRows(NamedTuple):
    """Some rows, in order.

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


@contextmanager
def readable(config: Config) -> Iterator[Job]:
    """Prepare the job of *config* with its input brought in, to read rows while the block runs; sends nothing.

    Raises:
        PipelineError: If the config or the input is wrong.
    """
    with TemporaryDirectory(prefix="pipeline-read-") as folder:
        yield brought_in(prepare(config, copies=Path(folder)), Path(folder))


def answered_rows(
    job: Job,
    columns: Sequence[str] = (),
    *,
    wanted: Callable[[Sequence[int], Cells], Sequence[bool]] | None = None,
    only: Sequence[int] | None = None,
    parser: Parser | None = None,
) -> Iterator[AnsweredRows]:
    """Yield rows of *job*, some thousands at a time, with what the ledger has for them; sends nothing.

    Args:
        job: The job, with its input brought in.
        columns: Columns whose cells are needed beside the prompts.
        wanted: Returns which rows of a chunk are needed, given their indexes and the cells of *columns*: all by default.
            Others cost little.
        only: The indexes of the rows that are needed, rising: all by default. Others cost next to nothing.
        parser: Tells what answers mean; by default as the output has it.

    Raises:
        InputDataError: If the input cannot be read.
        DiskError: If the ledger cannot be read.
    """
    task_columns = job.config.task.columns
    published = parser is None
    parser = parser or Parser(job.config.task, job.calibration)
    with opened(job.config.state.dir) as store:
        for rows, cells in _gathered(_chosen(job.source, [*task_columns, *columns], wanted, only)):
            prompts = job.task.prompts({name: cells[name] for name in task_columns})
            aliases = job.task.aliases(zip(prompts.keys, prompts.texts, strict=True))
            answers, outcomes = _known(store, parser, prompts, aliases)
            if published:
                _add_stand_ins(job, prompts, answers, outcomes)
            if published and job.second is not None:
                _add_seconds(job, store, prompts, answers, outcomes)
            yield AnsweredRows(rows, prompts, {name: cells[name] for name in columns}, answers, outcomes)


def _known(
    store: Store | None, parser: Parser, prompts: Prompts, aliases: Mapping[bytes, bytes]
) -> tuple[list[Answer | None], list[Outcome | None]]:
    keys = [key for key in dict.fromkeys(prompts.keys) if key is not None]
    known = store.look_up([*keys, *aliases]).under(aliases) if store and keys else Answers.of(())
    meant = dict(zip(known, map(parser.outcome, known.values()), strict=True))
    answers = [known.get(key) if key else None for key in prompts.keys]
    return answers, [EMPTY if key is None else meant.get(key) for key in prompts.keys]


def stand_ins(job: Job, keys: Iterable[bytes]) -> Mapping[bytes, tuple[Answer, Outcome]]:
    """Return what those of *keys* have that an earlier config, or the student of *job*, answers in place of the model."""
    if job.config.student is None and not job.carried:
        return {}
    found: Mapping[bytes, tuple[Answer, Outcome]] = import_module("pipeline.engine.student.known").stand_ins(
        job, keys
    )
    return found


def _add_stand_ins(
    job: Job, prompts: Prompts, answers: list[Answer | None], outcomes: list[Outcome | None]
) -> None:
    """Put answers that are not the model's where the ledger has none."""
    rows = {row: key for row, key in enumerate(prompts.keys) if key is not None and answers[row] is None}
    own = stand_ins(job, dict.fromkeys(rows.values()))
    for row, key in rows.items():
        if key in own:
            answers[row], outcomes[row] = own[key]


def _add_seconds(
    job: Job,
    store: Store | None,
    prompts: Prompts,
    answers: list[Answer | None],
    outcomes: list[Outcome | None],
) -> None:
    """Put what the second model makes of unsure rows in their places; nothing where it has no answer yet."""
    known = {
        answer.key: (answer, outcome)
        for answer, outcome in zip(answers, outcomes, strict=True)
        if answer and outcome
    }
    rows = import_module("pipeline.engine.escalation.known").escalated(
        job, store, [prompt for prompt in prompts if prompt], known
    )
    for row, key in enumerate(prompts.keys):
        if key in rows:
            answers[row], outcomes[row] = rows[key].row or (None, None)


def _chosen(
    source: Source,
    columns: Sequence[str],
    wanted: Callable[[Sequence[int], Cells], Sequence[bool]] | None,
    only: Sequence[int] | None,
) -> Iterator[tuple[Sequence[int], Cells]]:
    """Yield the needed rows of each chunk, with the cells of *columns*."""
    spans = all_spans(source) if only is None else spans_of(only)
    for chunk in read_chunks(source, columns, spans):
        rows: Sequence[int] = range(chunk.span.start, chunk.span.stop)
        cells: Cells = chunk.columns
        if only is not None:
            first, last = bisect_left(only, rows[0]), bisect_left(only, rows[-1] + 1)
            rows, cells = _taken(rows, cells, [row - rows[0] for row in only[first:last]])
        if wanted is not None:
            rows, cells = _taken(rows, cells, list(compress(range(len(rows)), wanted(rows, cells))))
        if rows:
            yield rows, cells


def _taken(rows: Sequence[int], cells: Cells, places: Sequence[int]) -> tuple[Sequence[int], Cells]:
    if len(places) == len(rows):
        return rows, cells
    found = {name: [values[place] for place in places] for name, values in cells.items()}
    return [rows[place] for place in places], found


def _gathered(parts: Iterator[tuple[Sequence[int], Cells]]) -> Iterator[tuple[Sequence[int], Cells]]:
    """Yield the rows of small *parts* together: each look-up costs much, and each row in it little."""
    waiting: list[int] = []
    held: dict[str, list[str | None]] = {}
    for rows, cells in parts:
        if not waiting and len(rows) >= CHUNK_ROWS // 2:
            yield rows, cells
            continue
        waiting += rows
        for name, values in cells.items():
            held.setdefault(name, []).extend(values)
        if len(waiting) >= CHUNK_ROWS // 2:
            yield waiting, held
            waiting, held = [], {}
    if waiting:
        yield waiting, held


def spans_of(rows: Sequence[int]) -> list[Span]:
    """Return spans that hold the rows at the rising indexes *rows*, and few others."""
    spans: list[Span] = []
    for row in rows:
        if spans and row - spans[-1].stop < NEAR:
            spans[-1] = Span(spans[-1].start, row + 1)
        else:
            spans.append(Span(row, row + 1))
    return spans
