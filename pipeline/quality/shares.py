"""How many rows of each label there really are: the naive count, corrected by rows whose right label is known.

A naive count is biased by the model's mistakes, and no number of rows mends that. Where gold rows tell, for each label that
the model gives, how often which label is right, the shares follow: within the rows that got one label the gold rows have to
be a random sample, as `evaluate --make-gold` draws them; how many there are of each does not matter.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

LEAST_ROWS = 10
"""Gold rows that got a label; with fewer nothing is said about its share."""

DRAWS = 4_000

PRIOR = 0.5
"""Jeffreys' prior: half a row on either side."""


@dataclass(frozen=True, slots=True)
class Share:
    """The share of one label.

    Attributes:
        naive: Its share among the labels that the model gave.
        share: The share of rows for which it is right, estimated; None with too few gold rows that got it.
        low: Lower end of the 95 % interval.
        high: Upper end.
        rows: Gold rows that got the label.
    """

    naive: float
    share: float | None
    low: float | None
    high: float | None
    rows: int


def shares(
    names: Sequence[str],
    given: Sequence[frozenset[str]],
    gold: Sequence[frozenset[str]],
    counts: Mapping[str, int],
    rows: int,
    *,
    single: bool,
    seed: int = 0,
) -> dict[str, Share]:
    """Return the share of each label among all rows that have labels.

    Args:
        names: The labels.
        given: The labels that the model gave to each gold row.
        gold: The right ones.
        counts: How many rows of the table got each label.
        rows: How many rows of the table have labels.
        single: Whether each row has exactly one label.
        seed: Of the draws.
    """
    random = np.random.default_rng(seed)
    found = {}
    for name in names:
        own = [name in labels for labels in given]
        # Rows with another label: of kind single each label is a stratum, of kind multi all rows without this one are.
        strata = [([not each for each in own], rows - counts.get(name, 0))]
        if single:
            others = [each for each, count in counts.items() if each != name and count]
            strata = [([each in labels for labels in given], counts[each]) for each in others]
        right = np.array([name in labels for labels in gold], dtype=bool)
        found[name] = _share(random, right, (own, counts.get(name, 0)), strata, rows)
    return found


def weighted_share(
    hits: Sequence[bool], given: Sequence[str], counts: Mapping[str, int], rows: int, *, seed: int = 0
) -> Share:
    """Return the share of the table's rows that are *hits*, such as right ones, from gold rows by the label *given* to each."""
    names = [name for name, count in counts.items() if count]
    members = np.array([[name == each for each in given] for name in names], dtype=bool)
    weights, right = np.array([counts[name] for name in names]) / max(rows, 1), np.array(hits, dtype=bool)
    sizes, found = members.sum(axis=1), (members & right).sum(axis=1)
    naive = float(right.mean()) if len(right) else 0.0
    if len(right) < LEAST_ROWS:
        return Share(naive, None, None, None, len(right))
    random = np.random.default_rng(seed)
    drawn = random.beta(found + PRIOR, sizes - found + PRIOR, size=(DRAWS, len(sizes))) @ weights
    low, middle, high = np.quantile(drawn, [0.025, 0.5, 0.975])
    return Share(naive, float(middle), float(low), float(high), len(right))


def _share(
    random: np.random.Generator,
    right: np.ndarray,
    own: tuple[Sequence[bool], int],
    others: Sequence[tuple[Sequence[bool], int]],
    rows: int,
) -> Share:
    """Return the share of a label, given which gold rows it is *right* for, and the strata: gold rows in them, rows in all."""
    members = np.array([own[0], *[stratum for stratum, _ in others]], dtype=bool)
    weights = np.array([own[1], *[count for _, count in others]]) / max(rows, 1)
    sizes, hits = members.sum(axis=1), (members & right).sum(axis=1)
    naive = float(weights[0])
    if sizes[0] < LEAST_ROWS:
        return Share(naive, None, None, None, int(sizes[0]))
    # One prior for all other strata together, by their weight: Jeffreys' half a row in each of them adds up to a share that
    # nobody saw (with 8 labels, a share of .5 % was then outside of 98 % of the intervals). Between none and one whole row is
    # where the truth may be: none gives the lower end, one the upper.
    spread = weights[1:] / max(weights[1:].sum(), 1e-9)

    def quantile(at: float, hit: float, miss: np.ndarray) -> float:
        prior = np.concatenate([[PRIOR], hit * spread])
        misses = np.concatenate([[PRIOR], miss])
        # Beta's parameters are above 0.
        drawn = random.beta(
            np.maximum(hits + prior, 1e-9), np.maximum(sizes - hits + misses, 1e-9), (DRAWS, len(sizes))
        )
        return float(np.quantile(drawn @ weights, at))

    half = np.full(len(spread), PRIOR)
    low, high = quantile(0.025, 0.0, half), quantile(0.975, 1.0, PRIOR * spread)
    middle = min(max(quantile(0.5, PRIOR, half), low), high)
    return Share(naive, middle, low, high, int(sizes[0]))
