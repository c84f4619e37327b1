"""Intervals of shares that were counted in a sample."""

from collections.abc import Callable
from math import comb, exp, lgamma, log, log1p

from pipeline.quality.extra import library

CONFIDENCE = 0.95

BISECTIONS = 40
"""Steps to a bound: far finer than any share that is told."""


def wilson(count: int, rows: int) -> tuple[float, float]:
    """Return the Wilson interval, at 95 %, of a share that was *count* of *rows*; 0 to 1 if there are no rows."""
    if not rows:
        return 0.0, 1.0
    found = library("scipy.stats").binomtest(count, rows).proportion_ci(CONFIDENCE, method="wilson")
    return float(found.low), float(found.high)


def at_most(count: int, rows: int, share: float) -> float:
    """Return the probability of at most *count* of so many *rows* where each is one with probability *share*."""
    if count < 0 or share >= 1.0 > count / rows:
        return 0.0
    if share <= 0.0 or count >= rows:
        return 1.0
    whole = lgamma(rows + 1)
    ways = (whole - lgamma(k + 1) - lgamma(rows - k + 1) for k in range(count + 1))
    terms = (way + k * log(share) + (rows - k) * log1p(-share) for k, way in enumerate(ways))
    return min(1.0, sum(map(exp, terms)))


def highest(count: int, rows: int, risk: float) -> float:
    """Return the upper bound of a share that was *count* of *rows*, too low with probability *risk* (Clopper and Pearson)."""
    return _last(lambda share: at_most(count, rows, share) > risk)


def lowest(count: int, rows: int, risk: float) -> float:
    """Return the lower bound of a share that was *count* of *rows*, too high with probability *risk*."""
    return _last(lambda share: 1 - at_most(count - 1, rows, share) < risk) if count else 0.0


def _last(holds: Callable[[float], bool]) -> float:
    """Return up to which share *holds* is true."""
    low, high = 0.0, 1.0
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return high


def mcnemar(only_a: int, only_b: int) -> float:
    """Return the exact p-value of McNemar's test, two-sided; 1 if no row tells the two apart."""
    total = only_a + only_b
    tail = sum(comb(total, k) for k in range(min(only_a, only_b) + 1))
    return min(1.0, 2 * tail / (1 << total))
