"""`review`: the rows that a person should look at: failed, probably mislabelled and least sure ones. Sends nothing."""

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pipeline.commands.answered import AnsweredRows, answered_rows, readable
from pipeline.commands.gold_file import write_csv
from pipeline.commands.suspects import Search, Suspicion, Suspicions
from pipeline.config import Config
from pipeline.errors import NoInputError
from pipeline.figures import percent
from pipeline.records import LABELLED, Status


@dataclass(frozen=True, slots=True)
class Doubt:
    """A row to look at.

    Attributes:
        row: Its index.
        id: Its id; None without `input.id`.
        text: What the model read.
        label: Its labels.
        confidence: How sure they are; None if the row failed.
        status: Its status.
        cut: Whether its text was cut.
        why: Why to look at it.
    """

    row: int
    id: str | None
    text: str
    label: list[str]
    confidence: float | None
    status: str
    cut: bool
    why: str


@dataclass(frozen=True, slots=True)
class Review:
    """Rows to look at: the failed ones first, then the least sure.

    Attributes:
        rows: The rows.
        failed: How many rows failed in all.
        unsure: How many are below `task.unsure_below` in all.
        sure: How many have a confidence in all.
        answered: How many rows have an answer.
        suspects: The rows that are probably mislabelled.
    """

    rows: list[Doubt]
    failed: int
    unsure: int
    sure: int
    answered: int
    suspects: Suspicions

    def as_dict(self) -> dict[str, Any]:
        """Return the fields by name, in order."""
        return asdict(self)


def review(config: Config, top: int = 100) -> Review:
    """Return the *top* rows that most need a person's look, and as many that are probably mislabelled.

    Raises:
        NoInputError: If no row has an answer yet.
        PipelineError: If the config or the input is wrong.
    """
    found = _Doubts(top, config.task.unsure_below)
    column = config.input.id
    with readable(config) as job:
        search = Search(job, top)
        for part in answered_rows(job, [column] if column else []):
            found.add(part, column)
            search.add(part)
        if not found.answered:
            raise NoInputError("no row has an answer yet; `run` asks about them")
        suspicions = search.found()
    return Review(found.rows(), found.failed, found.unsure, found.sure, found.answered, suspicions)


def save(found: Review, path: Path) -> None:
    """Write the rows to a CSV file that people open: failed ones, then probably mislabelled ones, then the least sure.

    Raises:
        CannotCreateError: If it cannot be written.
    """
    lines = {each.row: {**asdict(each), "label": "; ".join(each.label)} for each in found.rows}
    failed = {row: line for row, line in lines.items() if line["status"] not in LABELLED}
    suspected = {each.seen.row: _suspected(each, lines.get(each.seen.row)) for each in found.suspects.rows}
    every = [*{**failed, **suspected, **lines, **suspected}.values()]
    write_csv(path, [{**dict.fromkeys(_CELLS), **line} for line in every or [dict[str, Any]()]])


def _suspected(found: Suspicion, known: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the cells of a suspected row, beside those that are *known*."""
    seen, near = found.seen, found.near
    proposed = "; ".join(found.proposed) or "no label"
    whys = [f"probably {proposed}", *filter(None, [known and known["why"]])]
    line = {
        "row": seen.row,
        "id": seen.id,
        "text": seen.text,
        "label": "; ".join(seen.label),
        **(known or {}),
    }
    line |= {"why": "; ".join(whys), "proposed": "; ".join(found.proposed), "score": found.score}
    if near is not None:
        line |= {"near_row": near.row, "near_label": "; ".join(near.label), "near_text": near.text}
    return line


_CELLS = (*Doubt.__dataclass_fields__, "proposed", "score", "near_row", "near_label", "near_text")


class _Doubts:
    """Keeps the rows that most need a look, whatever their number."""

    def __init__(self, top: int, unsure_below: float | None) -> None:
        self.failed = self.unsure = self.sure = self.answered = 0
        self._top, self._unsure_below = top, unsure_below
        # The surest of the kept ones is on top, to be replaced; rows are numbers that break ties.
        self._kept: list[tuple[float, int, Doubt]] = []
        self._usual = Usual()

    def rows(self) -> list[Doubt]:
        """Return the kept rows, the most doubtful first, each with why to look at it."""
        kept = [doubt for *_, doubt in sorted(self._kept, key=lambda each: (-each[0], -each[1]))]
        return [replace(each, why="; ".join([*filter(None, [each.why]), *self._why(each)])) for each in kept]

    def add(self, part: AnsweredRows, column: str | None) -> None:
        names = part.cells[column] if column else [None] * len(part.rows)
        for place, outcome in enumerate(part.outcomes):
            if outcome is None or outcome.status is Status.EMPTY:
                continue
            self.answered += 1
            failed = outcome.status not in LABELLED
            self.failed += failed
            self.unsure += outcome.status is Status.UNSURE
            if outcome.confidence is not None:
                self.sure += 1
                self._usual.add(outcome.labels, outcome.confidence)
            # How doubtful: failed rows are above all others, and rows whose confidence is unknown say nothing.
            doubt = 1.0 if failed else None if outcome.confidence is None else -outcome.confidence
            row = part.rows[place]
            if doubt is None or (len(self._kept) >= self._top and (doubt, -row) <= self._kept[0][:2]):
                continue
            found = Doubt(
                row=row,
                id=names[place],
                text=part.prompts.texts[place] or "",
                label=[*outcome.labels],
                confidence=outcome.confidence,
                status=outcome.status.value,
                why=outcome.error or "",
                cut=part.prompts.truncated[place],
            )
            push = heapq.heappush if len(self._kept) < self._top else heapq.heapreplace
            push(self._kept, (doubt, -row, found))

    def _why(self, doubt: Doubt) -> Iterator[str]:
        """Yield what is out of the ordinary about a row."""
        if doubt.confidence is not None and doubt.status in LABELLED:
            usual = self._usual.of(doubt.label)
            several = "a row with several labels" if doubt.label else "a row that fits no label"
            whose = doubt.label[0] if len(doubt.label) == 1 else several
            if doubt.confidence < usual:
                yield f"{whose} usually has {percent(usual)}"
            elif doubt.status == Status.UNSURE:
                yield f"{whose} is often unsure"
            else:
                yield f"as sure as {whose} usually is"
        if doubt.cut:
            yield "the text was cut"


class Usual:
    """The usual confidence of each label: the median, to a thousandth, whatever the number of rows."""

    def __init__(self) -> None:
        self._counts: defaultdict[str | int, Counter[int]] = defaultdict(Counter)

    def add(self, labels: Sequence[str], confidence: float) -> None:
        """Take a row with *labels* into account."""
        self._counts[_key(labels)][int(1000 * confidence)] += 1

    def of(self, labels: Sequence[str]) -> float:
        """Return the usual confidence of *labels*; several are as sure as others of several."""
        counts = self._counts[_key(labels)]
        middle, below = counts.total() / 2, 0
        for thousandths, count in sorted(counts.items()):
            below += count
            if below >= middle:
                return thousandths / 1000
        return 0.0


def _key(labels: Sequence[str]) -> str | int:
    return labels[0] if len(labels) == 1 else len(labels[:2])
