"""The rows that can be judged: those with a right label and an answer."""

from dataclasses import dataclass, field

from pipeline.quality.metrics import Labels
from pipeline.records import LABELLED, Status


@dataclass(slots=True)
class JudgedRows:
    """The rows with a right label and an answer, as columns.

    Attributes:
        gold: The right labels.
        labels: Those that each row got; None where it has none, because it failed.
        statuses: Their statuses.
        confidences: How sure the labels are; None where that is unknown.
    """

    gold: list[Labels] = field(default_factory=list)
    labels: list[Labels | None] = field(default_factory=list)
    statuses: list[Status] = field(default_factory=list)
    confidences: list[float | None] = field(default_factory=list)

    def add(self, gold: Labels, labels: Labels, status: Status, confidence: float | None) -> bool:
        """Add a row; returns whether its labels are the right ones."""
        got = labels if status in LABELLED else None
        self.gold.append(gold)
        self.labels.append(got)
        self.statuses.append(status)
        self.confidences.append(None if got is None else confidence)
        return got == gold

    @property
    def counting(self) -> list[Labels | None]:
        """The labels that count: those of rows that are not unsure."""
        pairs = zip(self.labels, self.statuses, strict=True)
        return [None if status is Status.UNSURE else labels for labels, status in pairs]

    def labelled(self) -> tuple[list[Labels], list[Labels]]:
        """Return the labels and the right labels of the rows that have any, unsure ones too."""
        pairs = [(got, gold) for got, gold in zip(self.labels, self.gold, strict=True) if got is not None]
        return [got for got, _ in pairs], [gold for _, gold in pairs]

    def sure_and_right(self) -> tuple[list[float], list[bool]]:
        """Return the confidences of the rows that have one, and whether each of these rows is right."""
        rows = zip(self.confidences, self.labels, self.gold, strict=True)
        pairs = [(sure, labels == gold) for sure, labels, gold in rows if sure is not None]
        return [sure for sure, _ in pairs], [right for _, right in pairs]
