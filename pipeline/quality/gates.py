"""The gates of a job: what must hold before its output is published; how far labels have moved since earlier runs."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import pi, sqrt

from pipeline.config import FailureAllowance, GateSettings
from pipeline.figures import limit, percent

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


def distance(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    """Return how far two distributions of labels are apart, 0 to 1: half the sum of the differences of their shares."""
    return sum(abs(one.get(label, 0) - other.get(label, 0)) for label in one.keys() | other.keys()) / 2


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
    share = distance(
        {label: count / rows for label, count in now.items()},
        {label: count / rows_before for label, count in before.items()},
    )
    chance = 0.0
    for label in now.keys() | before.keys():
        together = (now.get(label, 0) + before[label]) / (rows + rows_before)
        chance += sqrt(2 / pi * together * (1 - together) * (1 / rows + 1 / rows_before)) / 2
    return Shift(share, chance)


@dataclass(frozen=True, slots=True)
class Share:
    """So many of so many rows."""

    count: int
    rows: int

    def __str__(self) -> str:
        return f"{self.count:,} of {self.rows:,}" + (
            f" ({percent(self.count / self.rows)})" if self.rows else ""
        )


@dataclass(frozen=True, slots=True)
class Figures:
    """What the gates look at.

    Attributes:
        failed: Rows with text but without labels.
        invalid: Those whose reply was none of the labels.
        unsure: Rows below `task.unsure_below`.
        shift: How far the labels have moved since the last runs; None if there was none.
        gold: Rows with a label in `task.gold` that have the same one; None if there is no such column.
        canary: Rows that were asked anew and got another label; None if none was.
    """

    failed: Share
    invalid: Share
    unsure: Share
    shift: Shift | None
    gold: Share | None
    canary: Share | None


def closed_gates(gates: GateSettings, found: Figures) -> list[str]:
    """Return a sentence for each gate that *found* does not pass."""
    return [*_too_many(gates, found), *_moved(gates, found), *_wrong(gates, found)]


def _too_many(gates: GateSettings, found: Figures) -> Iterator[str]:
    allowances: list[tuple[str, FailureAllowance | None, Share | None, str]] = [
        ("failed", gates.failed, found.failed, "rows failed"),
        ("invalid", gates.invalid, found.invalid, "rows got a reply that is none of the labels"),
        ("unsure", gates.unsure, found.unsure, "rows are unsure"),
        ("canary_flips", gates.canary_flips, found.canary, "rows that were asked anew got another label"),
    ]
    for name, allowed, share, what in allowances:
        if allowed is not None and share is not None and not allowed.allows(share.count, share.rows):
            yield f"gates.{name}: {share} {what}, more than {allowed}"


def _moved(gates: GateSettings, found: Figures) -> Iterator[str]:
    if gates.label_shift is not None and found.shift and found.shift.beyond_chance > gates.label_shift:
        yield (
            f"gates.label_shift: the shares of the labels differ by {percent(found.shift.share)} from those of the last runs "
            f"(by chance alone: {percent(found.shift.chance)}), more than {limit(gates.label_shift)}"
        )


def _wrong(gates: GateSettings, found: Figures) -> Iterator[str]:
    wanted, gold = gates.gold_accuracy, found.gold
    if wanted is None or gold is None:
        return
    if not gold.rows:
        yield "gates.gold_accuracy: no row has a label in task.gold, so that nothing tells how many are right"
    elif gold.count < wanted * gold.rows:
        yield f"gates.gold_accuracy: {gold} rows with a label in task.gold are right, less than {limit(wanted)}"
