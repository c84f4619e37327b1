"""Fit a calibration on rows whose right label is known, and judge it on others than it was fitted on.

Platt's two parameters from 100 rows on, one below (temperature), and nothing below 50: with fewer rows more is made worse
than better.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.errors import InputDataError
from pipeline.quality.extra import library
from pipeline.quality.reliability import Reliability, reliability

LEAST_ROWS, PLATT_ROWS = 50, 100
FOLDS = 5
LEAST_OF_EACH = 2
"""Right rows, and wrong ones, so that each fold is fitted on both."""

_NEAREST = 1e-6
_WEAK = 100.0
"""Inverse strength of the regularization; so weak that it only matters where right and wrong are told apart perfectly."""


@dataclass(frozen=True, slots=True)
class Fit:
    """A rising function from reported to calibrated confidence, and what it is worth.

    Attributes:
        method: `temperature` or `platt`.
        slope: Of the logit of the confidence; above 0.
        intercept: 0 for `temperature`.
        rows: Rows that it was fitted on.
        before: How reliable the reported confidences are.
        after: How reliable the calibrated ones are, each from a fit on the other four fifths of the rows.
    """

    method: str
    slope: float
    intercept: float
    rows: int
    before: Reliability
    after: Reliability


def fit(confidences: Sequence[float], right: Sequence[bool], *, seed: int = 0) -> Fit:
    """Fit a calibration on reported *confidences* and on which rows are *right*.

    Raises:
        InputDataError: If the rows are too few, or do not show that surer rows are right more often.
    """
    sure, truth = np.asarray(confidences, dtype=float), np.asarray(right, dtype=bool)
    _ensure_enough(truth)
    method = "platt" if len(sure) >= PLATT_ROWS else "temperature"
    slope, intercept = _parameters(sure, truth, method)
    if slope <= 0:
        raise InputDataError(
            f"in these {len(sure):,} rows surer answers are not right more often: no calibration would help; "
            "read the mistakes of `evaluate`"
        )
    judged = np.empty(len(sure))
    folds = _folds(truth, seed)
    for number in range(FOLDS):
        others = folds != number
        judged[~others] = _apply(sure[~others], *_parameters(sure[others], truth[others], method))
    before, after = (reliability(each.tolist(), truth.tolist(), seed=seed) for each in (sure, judged))
    if before is None or after is None:
        raise AssertionError
    return Fit(method, slope, intercept, len(sure), before, after)


def _ensure_enough(truth: np.ndarray) -> None:
    rows, right = len(truth), int(truth.sum())
    if rows < LEAST_ROWS:
        raise InputDataError(
            f"{rows:,} rows have a right label, an answer and a confidence; a calibration takes at least {LEAST_ROWS}: "
            "`evaluate --make-gold 200` draws rows to label"
        )
    for count, what in ((right, "right"), (rows - right, "wrong")):
        if count < LEAST_OF_EACH:
            raise InputDataError(
                f"{count} of these {rows:,} rows {'is' if count == 1 else 'are'} {what}: "
                "a calibration takes both right and wrong ones; label more rows"
            )


def _folds(truth: np.ndarray, seed: int) -> np.ndarray:
    """Return the fold of each row: right and wrong rows are spread evenly over them."""
    random = np.random.default_rng(seed)
    order = random.permutation(len(truth))
    order = order[np.argsort(truth[order], kind="stable")]
    folds = np.empty(len(truth), dtype=int)
    folds[order] = np.arange(len(truth)) % FOLDS
    return folds


def _parameters(sure: np.ndarray, truth: np.ndarray, method: str) -> tuple[float, float]:
    model = library("sklearn.linear_model").LogisticRegression(C=_WEAK, fit_intercept=method == "platt")
    model.fit(_logit(sure)[:, np.newaxis], truth)
    return float(model.coef_[0, 0]), float(np.ravel(model.intercept_)[0])


def _apply(sure: np.ndarray, slope: float, intercept: float) -> np.ndarray:
    return 1 / (1 + np.exp(-(slope * _logit(sure) + intercept)))


def _logit(sure: np.ndarray) -> np.ndarray:
    bounded = np.clip(sure, _NEAREST, 1 - _NEAREST)
    logits: np.ndarray = np.log(bounded / (1 - bounded))
    return logits
