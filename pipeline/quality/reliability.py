"""Whether confidences are what they say: of the rows that are 90 % sure, are 90 % right?"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.quality.intervals import wilson

ECE_BINS = 15
FEW_ROWS = 500
"""Rows below which the table has few bins."""

TABLE_BINS, FEW_BINS = 10, 5
SIMULATIONS = 1_000
MOST_SIMULATED = 3_000
"""Rows up to which each is drawn."""


@dataclass(frozen=True, slots=True)
class Floor:
    """The calibration error that a perfect forecaster would show on as many rows, by chance: its mean, and 95 % are below `high`."""

    mean: float
    high: float


@dataclass(frozen=True, slots=True)
class Bin:
    """Rows of about one confidence.

    Attributes:
        rows: How many.
        confidence: Their mean confidence.
        right: Share of them that is right.
        low: Lower end of its 95 % interval.
        high: Upper end.
    """

    rows: int
    confidence: float
    right: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Reliability:
    """How reliable confidences are.

    Attributes:
        rows: Rows with a confidence and a right label.
        ece: Expected calibration error, in 15 bins of as many rows each.
        floor: What it would be, at least, by chance.
        brier: Mean squared difference between confidence and 1 for right, 0 for wrong.
        table: Mean confidence and share of right rows, from the least sure on.
    """

    rows: int
    ece: float
    floor: Floor
    brier: float
    table: list[Bin]


def reliability(confidences: Sequence[float], right: Sequence[bool], *, seed: int = 0) -> Reliability | None:
    """Return how reliable *confidences* are, given which rows are *right*; None without rows."""
    if not len(confidences):
        return None
    sure, truth = np.asarray(confidences, dtype=float), np.asarray(right, dtype=float)
    return Reliability(
        rows=len(sure),
        ece=calibration_error(sure, truth),
        floor=floor(sure, seed=seed),
        brier=float(np.mean((sure - truth) ** 2)),
        table=table(sure, truth),
    )


def calibration_error(sure: np.ndarray, truth: np.ndarray) -> float:
    """Return the expected calibration error of confidences, given 1 for right and 0 for wrong."""
    order = np.argsort(sure, kind="stable")
    return float(_errors(sure[order], truth[order][np.newaxis])[0])


def floor(sure: np.ndarray, *, seed: int = 0) -> Floor:
    """Return the calibration error of rows that are right exactly as often as their confidences say, simulated."""
    ordered, random = np.sort(sure), np.random.default_rng(seed)
    if len(ordered) <= MOST_SIMULATED:
        errors = _errors(ordered, random.random((SIMULATIONS, len(ordered))) < ordered)
    else:
        # The right rows of a large bin are a normal number, which is one draw instead of hundreds.
        starts, sizes = _bins(len(ordered), ECE_BINS)
        spread = np.sqrt(np.add.reduceat(ordered * (1 - ordered), starts))
        errors = np.abs(random.normal(0, spread, (SIMULATIONS, len(sizes)))).sum(axis=1) / sizes.sum()
    return Floor(float(np.mean(errors)), float(np.quantile(errors, 0.95)))


def _errors(ordered: np.ndarray, truths: np.ndarray) -> np.ndarray:
    """Return the calibration error of each of *truths*, whose columns are rows by rising confidence."""
    starts, sizes = _bins(len(ordered), ECE_BINS)
    gaps = np.add.reduceat(truths - ordered, starts, axis=1)
    errors: np.ndarray = np.abs(gaps).sum(axis=1) / sizes.sum()
    return errors


def table(sure: np.ndarray, truth: np.ndarray) -> list[Bin]:
    """Return bins of as many rows each: five of them below 500 rows."""
    order = np.argsort(sure, kind="stable")
    starts, sizes = _bins(len(sure), FEW_BINS if len(sure) < FEW_ROWS else TABLE_BINS)
    found = []
    for start, size in zip(starts.tolist(), sizes.tolist(), strict=True):
        rows = order[start : start + size]
        right = int(truth[rows].sum())
        found.append(Bin(size, float(sure[rows].mean()), right / size, *wilson(right, size)))
    return found


def _bins(rows: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return where *count* bins of about as many of *rows* each begin, and their sizes; fewer if there are fewer rows."""
    edges = np.unique(np.linspace(0, rows, min(count, rows) + 1).round().astype(int))
    return edges[:-1], np.diff(edges)
