"""Whether one labelling of the same rows is better than another, in figures and in words."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pipeline.quality.changes import TOP, Difference, changes
from pipeline.quality.extra import library

RESAMPLES = 2_000
SIGNIFICANT = 0.05


SHOWN = 0.02
"""The difference in accuracy that is worth knowing about."""

_TWO_SIDED, _POWER = 1.959964, 0.841621
"""Quantiles of the normal distribution: 5 % false alarms, 80 % of such differences found."""


@dataclass(frozen=True, slots=True)
class Paired:
    """A paired comparison of two labellings on rows with right labels.

    Attributes:
        rows: Rows with a right label and an answer of both.
        accuracy_a: Share of them that is right in the first.
        accuracy_b: Share that is right in the second.
        difference: The second's less the first's.
        low: Lower end of the difference's 95 % interval, by bootstrap.
        high: Upper end.
        only_a: Rows that only the first has right.
        only_b: Rows that only the second has right.
        p: The probability of such a split of these rows, or a more uneven one, if both are equally good (exact McNemar).
        more_rows: How many more rows would show a difference of 2 points, four times in five; 0 if these are enough.
        words: A sentence about it.
    """

    rows: int
    accuracy_a: float
    accuracy_b: float
    difference: float
    low: float
    high: float
    only_a: int
    only_b: int
    p: float
    more_rows: int
    words: str

    def as_dict(self) -> dict[str, Any]:
        """Return the fields by name, in order."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Side:
    """What one config does on the compared rows.

    Attributes:
        config: Its file.
        model: Who answers.
        labelled: Rows with a label.
        accuracy: Share of the rows with a right label that is right; None without right labels.
        low: Lower end of its 95 % interval.
        high: Upper end.
        cost_usd: What the answers cost; None if no price is known.
    """

    config: str
    model: str
    labelled: int
    accuracy: float | None
    low: float | None
    high: float | None
    cost_usd: float | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two configs on the same rows.

    Attributes:
        rows: Rows that both have answers to.
        unanswered: Rows that one of them has none to, and that are not compared.
        empty: Rows without text, which are not compared.
        agreement: Share of `rows` with the same labels.
        agreement_low: Lower end of its 95 % interval.
        agreement_high: Upper end.
        kappa: Cohen's kappa; None where it is undefined.
        a: The first config.
        b: The second config.
        paired: Which is right more often; None without right labels.
        words: A sentence about it.
        differences: The rows on which they differ, the most surprising first.
    """

    rows: int
    unanswered: int
    empty: int
    agreement: float
    agreement_low: float
    agreement_high: float
    kappa: float | None
    a: Side
    b: Side
    paired: Paired | None
    words: str
    differences: list[Difference]

    def as_dict(self) -> dict[str, Any]:
        """Return the facts, as JSON has them, with the first 20 differences and the 20 most frequent kinds of them."""
        return {
            **asdict(self),
            "changes": [asdict(each) for each in changes(self.differences)[:TOP]],
            "differences": [asdict(each) for each in self.differences[:TOP]],
            "differing": len(self.differences),
        }


def paired(
    right_a: Sequence[bool], right_b: Sequence[bool], names: tuple[str, str] = ("A", "B"), *, seed: int = 0
) -> Paired | None:
    """Compare two labellings, given which of the same rows each has right; None without rows."""
    a, b = np.asarray(right_a, dtype=bool), np.asarray(right_b, dtype=bool)
    if not len(a):
        return None
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    p = mcnemar(only_a, only_b)
    difference = (only_b - only_a) / len(a)
    low, high = _bootstrap(only_a, only_b, len(a), seed)
    more = max(0, rows_to_show(only_a + only_b, len(a)) - len(a))
    return Paired(
        rows=len(a),
        accuracy_a=float(a.mean()),
        accuracy_b=float(b.mean()),
        difference=difference,
        low=low,
        high=high,
        only_a=only_a,
        only_b=only_b,
        p=p,
        more_rows=more,
        words=_words(names, difference, p, (low, high), more),
    )


def mcnemar(only_a: int, only_b: int) -> float:
    """Return the exact p-value of McNemar's test, two-sided; 1 if no row tells the two apart."""
    if only_a + only_b == 0:
        return 1.0
    return float(library("scipy.stats").binomtest(only_a, only_a + only_b).pvalue)


def rows_to_show(discordant: int, rows: int, difference: float = SHOWN) -> int:
    """Return how many rows show a *difference* in accuracy, four times in five, if as many tell the two apart as here."""
    # Half a row more on either side: where no row differs, some would.
    share = max((discordant + 1) / (rows + 2), difference)
    spread = _TWO_SIDED * math.sqrt(share) + _POWER * math.sqrt(share - difference**2)
    return math.ceil((spread / difference) ** 2)


def _bootstrap(only_a: int, only_b: int, rows: int, seed: int) -> tuple[float, float]:
    """Return the 95 % interval of the difference over resamples of the rows.

    A resample matters only by how many of each kind of row it has, so that it is one draw of these numbers.
    """
    shares = [only_a / rows, only_b / rows, 1 - (only_a + only_b) / rows]
    drawn = np.random.default_rng(seed).multinomial(rows, shares, size=RESAMPLES)
    low, high = np.quantile((drawn[:, 1] - drawn[:, 0]) / rows, [0.025, 0.975])
    return float(low), float(high)


def _words(
    names: tuple[str, str], difference: float, p: float, interval: tuple[float, float], more: int
) -> str:
    if p < SIGNIFICANT:
        better, worse = (names[1], names[0]) if difference > 0 else names
        ends = sorted(abs(end) if end * difference >= 0 else 0.0 for end in interval)
        return (
            f"{better} is better than {worse}: by {_points(abs(difference))}, "
            f"and by {_number(ends[0])} to {_points(ends[1])} with 95 % confidence"
        )
    if more:
        return f"no difference can be shown; {more:,} more rows could show 2 points"
    return "no difference can be shown, and one of 2 points would probably have been seen"


def _number(share: float) -> str:
    return f"{100 * share:.1f}"


def _points(share: float) -> str:
    return f"{_number(share)} point" + ("" if _number(share) == "1.0" else "s")
