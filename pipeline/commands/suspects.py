"""Answered rows that a student finds probably mislabelled, with their texts, for `review` and the report. Sends nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from itertools import chain, compress
from typing import Any, NamedTuple

from pipeline.commands.answered import AnsweredRows, answered_rows
from pipeline.job.job import Job
from pipeline.outputs.columns import STUDENT
from pipeline.quality.drawing import Lowest
from pipeline.quality.extra import HINTS, library
from pipeline.records import LABELLED
from pipeline.student.model import Labels, Student
from pipeline.student.suspects import near_pairs, suspects

LEAST_ROWS = 500
"""Of fewer rows nothing is learned that would tell a mistake from a rare case."""

MOST_ROWS, MOST_FITS = 10_000, 300_000
"""So many rows are looked at, and so many for each of the labels together: it takes seconds. They are drawn at random."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A row as a person sees it."""

    row: int
    id: str | None
    text: str
    label: list[str]


@dataclass(frozen=True, slots=True)
class Suspicion:
    """A row that is probably mislabelled.

    Attributes:
        seen: The row, with the labels that it has.
        proposed: Those that it should have for all that the others tell.
        score: How much likelier these are, 0 to 1.
        near: The most alike row that has other labels; None if none has a word in common.
    """

    seen: Seen
    proposed: list[str]
    score: float
    near: Seen | None


@dataclass(frozen=True, slots=True)
class Contradiction:
    """Two rows that are nearly alike and have different labels.

    Attributes:
        one: The first of them.
        other: The other one.
        alike: Share of their words that they have in common.
    """

    one: Seen
    other: Seen
    alike: float


@dataclass(frozen=True, slots=True)
class Suspicions:
    """What there is to suspect.

    Attributes:
        rows: Rows that are probably mislabelled, the most suspicious first.
        pairs: Rows that contradict each other, the most alike first.
        looked_at: How many rows were looked at, all with different prompts.
        note: Why no row was looked at, or not all of them; None if all were.
    """

    rows: Sequence[Suspicion] = ()
    pairs: Sequence[Contradiction] = ()
    looked_at: int = 0
    note: str | None = None


class _Row(NamedTuple):
    row: int
    labels: Labels
    counted: Any


class Search:
    """Collects the answered rows of a job, and finds those to suspect."""

    def __init__(self, job: Job, top: int) -> None:
        """Create one that finds at most *top* rows, and as many pairs."""
        self._job, self._top, task = job, top, job.config.task
        self._names, self._single = [label.name for label in task.labels], task.kind == "single"
        self._can = find_spec("sklearn") is not None
        self._student: Student | None = None
        if self._can and job.source.rows >= LEAST_ROWS:
            self._student = Student(self._names, single=self._single)
        # Each label is learned on its own.
        self._rows = Lowest[_Row](max(min(MOST_ROWS, MOST_FITS // len(self._names)), 4 * LEAST_ROWS))
        self._answered: int = 0

    def add(self, part: AnsweredRows) -> None:
        """Take in rows of the job; what the student has said is no answer of the model's."""
        if self._student is None:
            return
        taken: dict[bytes, tuple[int, Labels]] = {}
        for place, (key, answer, outcome) in enumerate(
            zip(part.prompts.keys, part.answers, part.outcomes, strict=True)
        ):
            if key is None or answer is None or outcome is None or key in self._rows or key in taken:
                continue
            if outcome.status in LABELLED and answer.model != STUDENT:
                self._answered += 1
                if self._rows.wants(key):
                    taken[key] = place, outcome.labels
        if not taken:
            return
        counted = self._student.features([part.prompts.texts[place] or "" for place, _ in taken.values()])
        self._rows.update(
            (key, _Row(part.rows[place], labels, counted[line]))
            for line, (key, (place, labels)) in enumerate(taken.items())
        )

    def found(self) -> Suspicions:
        """Return what there is to suspect."""
        if not self._can:
            return Suspicions(note=f"probably mislabelled rows are not looked for; {HINTS['student']}")
        self._rows.shrink()
        if len(self._rows) < LEAST_ROWS:
            return Suspicions(
                note=f"probably mislabelled rows are not looked for: it takes {LEAST_ROWS} answered prompts"
            )
        numbers, given, each = zip(*self._rows.items, strict=True)
        counted = library("scipy.sparse", extra="student").vstack(each, format="csr")
        make = partial(Student, self._names, single=self._single)
        rows = suspects(make, self._names, counted, given, top=self._top, single=self._single)
        pairs = near_pairs(counted, given, top=self._top)
        wanted = {place for row in rows for place in (row.place, row.near) if place is not None}
        seen = self._seen({numbers[place] for place in chain(wanted, *((a, b) for a, b, _ in pairs))})
        return Suspicions(
            [
                Suspicion(
                    seen[numbers[row.place]], [*row.proposed], round(row.score, 4),
                    None if row.near is None else seen[numbers[row.near]],
                )
                for row in rows
            ],
            [Contradiction(seen[numbers[one]], seen[numbers[other]], round(alike, 4)) for one, other, alike in pairs],
            len(self._rows),
            self._note(),
        )  # fmt: skip

    def _note(self) -> str | None:
        if self._answered <= len(self._rows):
            return None
        return f"of {self._answered:,} answered prompts, {len(self._rows):,} at random were looked at"

    def _seen(self, rows: set[int]) -> dict[int, Seen]:
        """Read *rows* once more, with their texts."""
        column = self._job.config.input.id
        found: dict[int, Seen] = {}
        for part in answered_rows(self._job, [column] if column else [], only=sorted(rows)):
            names = part.cells[column] if column else [None] * len(part.rows)
            inside = [row in rows for row in part.rows]
            for row, name, text, outcome in compress(
                zip(part.rows, names, part.prompts.texts, part.outcomes, strict=True), inside
            ):
                found[row] = Seen(row, name, text or "", [*(outcome.labels if outcome else ())])
        return found
