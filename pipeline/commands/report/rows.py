"""Rows of a run to read: some that failed, the least sure ones, and some at random."""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.commands.answered import AnsweredRows, answered_rows
from pipeline.errors import PipelineError
from pipeline.inputs.source import Source
from pipeline.job.job import Job
from pipeline.job.prepare import brought_in
from pipeline.records import LABELLED

LEAST_SURE, AT_RANDOM = 20, 10

MOST_ROWS = 1_000_000
"""So many rows are read at most to find these: reading one means reading those that are stored together with it."""

MOST_BYTES = 256 << 20
"""So large may tables of other formats than Parquet be that a run takes in once more after its end."""

CHARACTERS = 1_000
"""Of a text or a reply no more is kept."""

Facts = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Wanted:
    failed: Sequence[int]
    least_sure: Sequence[int]
    at_random: Sequence[int]

    @property
    def rows(self) -> set[int]:
        return {*self.failed, *self.least_sure, *self.at_random}


def examples(job: Job, facts: Facts, folder: Path, *, is_current: bool, thorough: bool) -> dict[str, Any]:
    """Return rows of a run to read, of which *facts* tell the numbers, with texts and labels.

    Args:
        job: The job.
        facts: The report of the run.
        folder: Where copies of the input may lie.
        is_current: Whether the input is still that of the run.
        thorough: Whether to read the input even if that takes long.
    """
    if not is_current:
        return _none("The input or the task has changed since this run, so its rows are not shown.")
    size = sum(file.stamp.size for file in job.source.files if file.copy and not file.copy.exists())
    if size > MOST_BYTES and not thorough:
        return _none(
            f"The input is large and no Parquet, so no rows were looked up; `{job.config.command('report')}` does it."
        )
    try:
        job = brought_in(job, folder)
        wanted, all_read = _wanted(job.source, facts)
        found = {row["row"]: row for some in _read(job, wanted.rows) for row in some}
    except PipelineError as error:
        return _none(f"No rows can be shown: {error}")
    note = None if all_read else f"Of this large table, parts with about {MOST_ROWS:,} rows were looked at."
    return {
        "failed": [found[row] for row in wanted.failed if row in found],
        "least_sure": [found[row] for row in wanted.least_sure if row in found],
        "random": [found[row] for row in wanted.at_random if row in found],
        "note": note,
    }


def _none(note: str) -> dict[str, Any]:
    return {"failed": [], "least_sure": [], "random": [], "note": note}


def _wanted(source: Source, facts: Facts) -> tuple[_Wanted, bool]:
    """Return the rows to read, and whether all blocks of the input come into question."""
    chance = random.Random(facts["run_id"])  # noqa: S311 - the same rows each time
    notable = facts["notable"]
    failed = [row for rows in notable["failed"].values() for row in rows]
    blocks = [
        range(file.first_row + block.first, file.first_row + block.stop)
        for file in source.files
        for block in file.blocks
    ]
    chance.shuffle(blocks)
    # First those with rows that failed, then those with many of the least sure.
    unsure = notable["least_sure"][:LEAST_SURE]
    blocks.sort(
        key=lambda block: (-sum(row in block for row in failed), -sum(row in block for row in unsure))
    )
    reached: list[range] = []
    rows = 0
    for block in blocks:
        if reached and rows + len(block) > MOST_ROWS:
            break
        reached.append(block)
        rows += len(block)
    places = chance.sample(range(rows), min(AT_RANDOM, rows))
    wanted = _Wanted(
        failed=_inside(failed, reached),
        least_sure=_inside(notable["least_sure"], reached)[:LEAST_SURE],
        at_random=[_at(reached, place) for place in places],
    )
    return wanted, len(reached) == len(blocks)


def _inside(rows: Iterable[int], blocks: Sequence[range]) -> list[int]:
    return [row for row in rows if any(row in block for block in blocks)]


def _at(blocks: Sequence[range], place: int) -> int:
    for block in blocks:
        if place < len(block):
            return block[place]
        place -= len(block)
    raise IndexError(place)


def _read(job: Job, rows: set[int]) -> Iterable[list[dict[str, Any]]]:
    id_column = job.config.input.id
    columns = [] if id_column is None else [id_column]
    for some in answered_rows(job, columns, only=sorted(rows)):
        yield list(_facts(some, id_column))


def _facts(some: AnsweredRows, id_column: str | None) -> Iterable[dict[str, Any]]:
    for at, row in enumerate(some.rows):
        answer, outcome = some.answers[at], some.outcomes[at]
        if outcome is None:  # the ledger has been pruned since
            continue
        text = some.prompts.texts[at]
        yield {
            "row": row,
            "id": None if id_column is None else some.cells[id_column][at],
            "text": text and text[:CHARACTERS],
            "status": outcome.status.value,
            "labels": list(outcome.labels) if outcome.status in LABELLED else [],
            "confidence": outcome.confidence,
            "error": outcome.error and outcome.error[:CHARACTERS],
            "reply": answer.text[:CHARACTERS] if answer and answer.text else None,
        }
