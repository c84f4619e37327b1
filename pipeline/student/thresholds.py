"""Candidate thresholds for the student's score, from rows whose answers are known. They need no proof: the audit is one."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

SHARES = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""Shares of the allowed error at which a threshold is tried, the surest first."""


def candidates(scores: NDArray[np.float64], agree: NDArray[np.bool_], target: float) -> Sequence[float]:
    """Return thresholds, falling: for each of `SHARES` the lowest whose rows err no more than that share of what is allowed.

    Args:
        scores: The student's scores of rows that it has not been taught by.
        agree: Whether it gave them the model's answer.
        target: The share that is to agree.
    """
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    wrong = np.cumsum(~agree[order])
    error = (wrong + 1) / (np.arange(len(scores)) + 2)
    # Equal scores stand or fall together.
    last = np.append(ranked[1:] != ranked[:-1], True)
    found: dict[float, None] = {}
    for share in SHARES:
        fits = np.flatnonzero(last & (error <= share * (1 - target)))
        if len(fits):
            found[float(ranked[fits[-1]])] = None
    return list(found)
