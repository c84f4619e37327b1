"""`evaluate`: how right the labels are, on the rows whose right labels are known. Sends nothing."""

from collections.abc import Sequence

import orjson

from pipeline.commands.answered import answered_rows, readable
from pipeline.commands.gold import Gold, read_gold
from pipeline.config import Config
from pipeline.errors import NoInputError
from pipeline.job.job import Job
from pipeline.job.workspace import PUBLISHED
from pipeline.quality.evaluation import (
    Circumstances,
    Evaluation,
    Mistake,
    TableCounts,
    evaluation,
)
from pipeline.quality.extra import library
from pipeline.quality.judged import JudgedRows
from pipeline.records import LABELLED, Answer, Outcome
from pipeline.tasks.parse import Parser

MISTAKES = 20
MOST_COUNTED = 200_000
"""Rows up to which labels are counted anew where no report tells how many there are: that reads the whole table."""


def evaluate(config: Config, gold: str | None = None) -> Evaluation:
    """Judge the answers that the ledger has for the rows whose right labels are known.

    Args:
        config: The config.
        gold: A column of the input, or a file of id and label; by default `task.gold`.

    Raises:
        ConfigError: If there are no right labels, or the extra `judge` is not installed.
        NoInputError: If none of the rows has an answer yet, or *gold* is not there.
        InputDataError: If the right labels cannot be understood.
        PipelineError: If the config or the input is wrong.
    """
    for name in ("sklearn.metrics", "scipy.stats"):
        library(name)
    with readable(config) as job:
        known = read_gold(job, gold)
        judge = Judge(job, known)
        table = _counts(job)
    remarks = [*known.remarks, *job.mixed_confidence]
    if table is None:
        remarks.append("shares of the labels: known once the whole table has been labelled")
    about = Circumstances(
        kind=config.task.kind,
        gold=known.origin,
        calibrated=job.is_calibrated,
        mistakes=judge.mistakes(),
        cost_usd=judge.cost_usd,
        unknown_gold=dict(known.unknown.most_common()),
        unanswered=judge.unanswered,
        empty=judge.empty,
        remarks=remarks,
    )
    return evaluation([label.name for label in config.task.labels], judge.judged, table, about)


class Judge:
    """The rows of a job with right labels, and what became of them.

    Attributes:
        judged: Those with an answer.
        unanswered: How many others have no answer yet.
        empty: How many have no text.
    """

    def __init__(self, job: Job, gold: Gold, parser: Parser | None = None) -> None:
        """Read the rows of *job* that *gold* knows; *parser* tells what answers mean, by default as the output has it.

        Raises:
            NoInputError: If none of them has an answer yet.
        """
        self.judged, self.unanswered, self.empty = JudgedRows(), 0, 0
        self._costs: dict[bytes, float | None] = {}
        self._wrong: list[Mistake] = []
        column = job.config.input.id
        for part in answered_rows(job, [column] if column else [], only=gold.rows, parser=parser):
            ids: Sequence[str | None] = part.cells[column] if column else [None] * len(part.rows)
            rows = zip(part.rows, ids, part.prompts.texts, part.answers, part.outcomes, strict=True)
            for row, name, text, answer, outcome in rows:
                self._add(gold.labels[row], row, name, text or "", answer, outcome)
        if not self.judged.gold:
            raise NoInputError(
                f"none of the {len(gold.labels):,} rows with a right label ({gold.origin}) has an answer yet; "
                "`run` asks about them"
            )

    @property
    def cost_usd(self) -> float | None:
        """What the answers cost; None if the price of one is not known."""
        known = [cost for cost in self._costs.values() if cost is not None]
        return sum(known) if len(known) == len(self._costs) else None

    def mistakes(self) -> list[Mistake]:
        """Return the wrong rows, the surest first."""
        return sorted(self._wrong, key=_surest_first)[:MISTAKES]

    def _add(
        self,
        gold: frozenset[str],
        row: int,
        name: str | None,
        text: str,
        answer: Answer | None,
        outcome: Outcome | None,
    ) -> None:
        if outcome is None or answer is None:
            if outcome is None:
                self.unanswered += 1
            else:
                self.empty += 1
            return
        self._costs[answer.key] = answer.cost_usd
        right = self.judged.add(gold, frozenset(outcome.labels), outcome.status, outcome.confidence)
        if not right and outcome.status in LABELLED:
            self._wrong.append(Mistake(row, name, text, sorted(gold), [*outcome.labels], outcome.confidence))
            if len(self._wrong) > 100 * MISTAKES:  # not all the texts of a large table
                self._wrong = self.mistakes()


def _surest_first(mistake: Mistake) -> tuple[float, int]:
    return 1.0 if mistake.confidence is None else -mistake.confidence, mistake.row


def _counts(job: Job) -> TableCounts | None:
    """Return how often each label was given, as the report of the published output tells; None if that takes too long."""
    record = job.workspace.load()
    if record is not None and (record.status, record.identity) == (PUBLISHED, job.identity):
        try:
            report = orjson.loads(job.workspace.report.read_bytes())
            rows = sum(report["statuses"].get(status.value, 0) for status in LABELLED)
            return TableCounts(rows, report["labels"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError):  # it is damaged
            pass
    if job.source.rows > MOST_COUNTED:
        return None
    rows, labels = 0, dict[str, int]()
    for part in answered_rows(job):
        for outcome in part.outcomes:
            if outcome is not None and outcome.status in LABELLED:
                rows += 1
                for name in outcome.labels:
                    labels[name] = labels.get(name, 0) + 1
    return TableCounts(rows, labels)
