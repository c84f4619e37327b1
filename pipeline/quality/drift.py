"""How much the labels of a run differ from those of earlier runs."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import pi, sqrt

Counts = Mapping[str, int]
"""How many rows have each label."""


@dataclass(frozen=True, slots=True)
class Shift:
    """A difference between two sets of labels.

    Attributes:
        share: The share of the rows, 0 to 1, that would have to get another label for both to have the same shares: the
            total variation distance.
        chance: How much of it is to be expected although nothing has changed, as there are so few rows.
    """

    share: float
    chance: float

    @property
    def beyond_chance(self) -> float:
        """What chance does not explain."""
        return max(0.0, self.share - self.chance)


def label_shift(now: Counts, earlier: Iterable[Counts]) -> Shift | None:
    """Return how far the shares of the labels have moved since *earlier* runs taken together; None without labels.

    The part of chance is the mean of the distance of two samples of these sizes: half the sum of the mean absolute
    differences of their shares, sqrt(2 / pi) standard deviations each, as for normal differences.
    """
    before: Counter[str] = Counter()
    for counts in earlier:
        before.update(counts)
    rows, rows_before = sum(now.values()), sum(before.values())
    if not rows or not rows_before:
        return None
    share = chance = 0.0
    for label in now.keys() | before.keys():
        share += abs(now.get(label, 0) / rows - before[label] / rows_before) / 2
        together = (now.get(label, 0) + before[label]) / (rows + rows_before)
        chance += sqrt(2 / pi * together * (1 - together) * (1 / rows + 1 / rows_before)) / 2
    return Shift(share, chance)
