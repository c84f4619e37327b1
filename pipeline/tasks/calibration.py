"""A calibration: what a reported confidence is worth, learned from rows whose right label is known."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log

_NEAREST = 1e-6
"""How near to 0 and 1 a confidence is taken to be, as their logits are infinite."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """A rising function from reported to calibrated confidence: 1 / (1 + exp(-(slope * logit(p) + intercept))).

    Platt scaling on the logit of the confidence; with `intercept` 0 it is temperature scaling (Guo et al., 2017).

    Attributes:
        method: How it was fitted: `temperature` or `platt`.
        slope: Above 0, so that surer rows stay surer.
        intercept: 0 for `temperature`.
        rows: How many rows with a known label it was fitted on.
    """

    method: str
    slope: float
    intercept: float
    rows: int

    def of(self, confidence: float) -> float:
        """Return the calibrated confidence, 0 to 1."""
        bounded = min(max(confidence, _NEAREST), 1 - _NEAREST)
        return 1 / (1 + exp(-(self.slope * log(bounded / (1 - bounded)) + self.intercept)))

    def of_all(self, confidences: Sequence[float | None]) -> list[float | None]:
        """Return the calibrated confidences; None stays None."""
        return [None if each is None else self.of(each) for each in confidences]
