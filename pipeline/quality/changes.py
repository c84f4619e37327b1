"""Rows that got other labels from one config than from another: which changes there are, and which surprise most."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

TOP = 20
"""Rows on which two configs differ that a comparison shows."""

UNTOLD = 0.5
"""What a confidence counts as that nobody tells."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A row that got other labels from the second config than from the first; [] for none."""

    row: int
    id: str | None
    text: str
    gold: list[str] | None
    a: list[str]
    b: list[str]
    confidence_a: float | None
    confidence_b: float | None

    @property
    def surprise(self) -> float:
        """How surprising it is, 0 to 1: two that are sure contradict each other. One that does not say counts as unsure."""
        sure_a, sure_b = (UNTOLD if each is None else each for each in (self.confidence_a, self.confidence_b))
        return sure_a * sure_b


@dataclass(frozen=True, slots=True)
class Change:
    """A kind of change: the rows with the same labels in the first config and the same others in the second.

    Attributes:
        a: The labels of the first.
        b: The labels of the second.
        rows: How many rows have changed so.
        right_a: In how many of them the first is right; None without right labels.
        right_b: In how many the second is.
    """

    a: list[str]
    b: list[str]
    rows: int
    right_a: int | None
    right_b: int | None


def changes(differences: Iterable[Difference]) -> list[Change]:
    """Return the kinds of change, the most frequent first."""
    kinds: defaultdict[tuple[tuple[str, ...], tuple[str, ...]], list[Difference]] = defaultdict(list)
    for each in differences:
        kinds[tuple(each.a), tuple(each.b)].append(each)
    found = []
    for (a, b), rows in kinds.items():
        known = [each.gold for each in rows if each.gold is not None]
        right = [sum(gold == [*labels] for gold in known) if known else None for labels in (a, b)]
        found.append(Change([*a], [*b], len(rows), *right))
    return sorted(found, key=lambda each: (-each.rows, each.a, each.b))
