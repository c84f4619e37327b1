"""Intervals of shares that were counted in a sample."""

from pipeline.quality.extra import library

CONFIDENCE = 0.95


def wilson(count: int, rows: int) -> tuple[float, float]:
    """Return the Wilson interval, at 95 %, of a share that was *count* of *rows*; 0 to 1 if there are no rows."""
    if not rows:
        return 0.0, 1.0
    found = library("scipy.stats").binomtest(count, rows).proportion_ci(CONFIDENCE, method="wilson")
    return float(found.low), float(found.high)
