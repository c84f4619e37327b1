"""Measures of agreement between the labels that rows got and their right ones.

A row without a label that counts (it failed, or it is unsure) is a row for which nothing was predicted: it is wrong, and
it lowers the recall of its right labels and the precision of none.
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pipeline.quality.extra import library

Labels = frozenset[str]

NOTHING = "(no label)"
"""The column of the confusion matrix for rows without a label that counts."""

MOST_CONFUSED = 100
"""Labels up to which there is a confusion matrix."""


@dataclass(frozen=True, slots=True)
class LabelScore:
    """How well one label is told: `support` is the number of rows for which it is right."""

    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True, slots=True)
class Confusion:
    """How many rows with each right label got each label: `counts` has a row for each right label."""

    labels: list[str]
    counts: list[list[int]]


@dataclass(frozen=True, slots=True)
class Scores:
    """Measures over all rows with a right label.

    Attributes:
        right: Rows whose labels are the right ones.
        macro_f1: Mean F1 of the labels that occur; None if none does.
        micro_f1: F1 over all labels of all rows together.
        weighted_f1: Mean F1, weighted by support.
        kappa: Cohen's kappa; of kind multi over all decisions whether a row has a label. None where it is undefined, as where
            all rows have one label and got it.
        mcc: Matthews' correlation coefficient, likewise.
        hamming: Share of wrong decisions whether a row has a label, over rows that got labels; kind multi only.
        jaccard: Mean overlap of given and right labels, 0 for rows that got none that count; kind multi only.
        labels: The score of each label.
        confusion: The confusion matrix; kind single only.
    """

    right: int
    macro_f1: float | None
    micro_f1: float | None
    weighted_f1: float | None
    kappa: float | None
    mcc: float | None
    hamming: float | None
    jaccard: float | None
    labels: dict[str, LabelScore]
    confusion: Confusion | None

    def as_dict(self) -> dict[str, Any]:
        """Return the fields by name, in order."""
        return asdict(self)


def score(
    names: Sequence[str], given: Sequence[Labels | None], gold: Sequence[Labels], *, single: bool
) -> Scores:
    """Return how well the labels *given* (None: none that counts) agree with *gold*.

    Args:
        names: The task's labels, and those that only gold has.
        given: The labels of each row.
        gold: The right ones of each row.
        single: Whether each row has exactly one.
    """
    right = sum(labels == wanted for labels, wanted in zip(given, gold, strict=True))
    truth, found = _indicators(names, gold), _indicators(names, given)
    by_label = _by_label(names, truth, found)
    occurring = [index for index, _ in enumerate(names) if truth[:, index].any() or found[:, index].any()]
    averages = {kind: _f1(truth, found, occurring, kind) for kind in ("macro", "micro", "weighted")}
    codes = _codes(names, gold, given) if single else (truth.ravel(), found.ravel())
    hamming, jaccard = (None, None) if single else _overlap(truth, found, given)
    return Scores(
        right=right,
        macro_f1=averages["macro"],
        micro_f1=averages["micro"],
        weighted_f1=averages["weighted"],
        kappa=_defined("cohen_kappa_score", *codes),
        mcc=_defined("matthews_corrcoef", *codes),
        hamming=hamming,
        jaccard=jaccard,
        labels=by_label,
        confusion=_confusion(names, *codes) if single and len(names) <= MOST_CONFUSED else None,
    )


def kappa(
    names: Sequence[str], first: Sequence[Labels | None], second: Sequence[Labels | None]
) -> float | None:
    """Return Cohen's kappa of two labellings; of rows with several labels over all decisions; None where undefined."""
    if all(len(labels) == 1 for labels in (*first, *second) if labels is not None):
        return _defined("cohen_kappa_score", *_codes(names, first, second))
    return _defined(
        "cohen_kappa_score", _indicators(names, first).ravel(), _indicators(names, second).ravel()
    )


def _indicators(names: Sequence[str], rows: Sequence[Labels | None]) -> np.ndarray:
    """Return a matrix that tells which rows have which label."""
    column = {name: index for index, name in enumerate(names)}
    found = np.zeros((len(rows), len(names)), dtype=bool)
    for row, labels in enumerate(rows):
        for name in labels or ():
            found[row, column[name]] = True
    return found


def _codes(
    names: Sequence[str], first: Sequence[Labels | None], second: Sequence[Labels | None]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of the single labels of two labellings; that after the last stands for none."""
    number = {name: index for index, name in enumerate(names)}
    codes = [[number[next(iter(each))] if each else len(names) for each in rows] for rows in (first, second)]
    return np.array(codes[0], dtype=int), np.array(codes[1], dtype=int)


def _by_label(names: Sequence[str], truth: np.ndarray, found: np.ndarray) -> dict[str, LabelScore]:
    if not len(truth):
        return {name: LabelScore(0.0, 0.0, 0.0, 0) for name in names}
    columns = library("sklearn.metrics").precision_recall_fscore_support(
        truth, found, average=None, zero_division=0.0
    )
    rows = zip(names, *columns, strict=True)
    return {name: LabelScore(float(p), float(r), float(f), int(support)) for name, p, r, f, support in rows}


def _f1(truth: np.ndarray, found: np.ndarray, columns: Sequence[int], average: str) -> float | None:
    if not columns:
        return None
    metrics = library("sklearn.metrics")
    return float(metrics.f1_score(truth[:, columns], found[:, columns], average=average, zero_division=0.0))


def _overlap(
    truth: np.ndarray, found: np.ndarray, given: Sequence[Labels | None]
) -> tuple[float | None, float | None]:
    """Return Hamming's loss over the rows that got labels, and the mean Jaccard index over all rows."""
    counting = np.array([labels is not None for labels in given], dtype=bool)
    if not counting.any():
        return None, 0.0
    metrics, truth, found = library("sklearn.metrics"), truth[counting], found[counting]
    jaccard = metrics.jaccard_score(truth, found, average="samples", zero_division=1.0)
    return float(metrics.hamming_loss(truth, found)), float(jaccard) * int(counting.sum()) / len(given)


def _defined(measure: str, first: np.ndarray, second: np.ndarray) -> float | None:
    """Return a measure of scikit-learn; None where it is undefined, of which it may warn."""
    if not len(first):
        return None
    if (first == first[0]).all() and (second == first[0]).all():
        return None  # all rows have one label, and got it: by chance, or not
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = float(getattr(library("sklearn.metrics"), measure)(first, second))
    return found if math.isfinite(found) else None


def _confusion(names: Sequence[str], gold: np.ndarray, given: np.ndarray) -> Confusion:
    labels = [*names, NOTHING]
    counts = np.zeros((len(labels), len(labels)), dtype=int)
    np.add.at(counts, (gold, given), 1)
    return Confusion(labels, counts.tolist())
