"""Fitting a calibration, and what it refuses."""

import numpy as np
import pytest

from pipeline.errors import InputDataError
from pipeline.quality.fitting import fit
from pipeline.tasks.calibration import Calibration


def overconfident(
    rows: int, seed: int = 0, slope: float = 0.5, intercept: float = -0.3
) -> tuple[list[float], list[bool]]:
    """Rows that are right with the probability that the true calibration makes of their confidence."""
    random = np.random.default_rng(seed)
    logits = random.normal(3, 1.5, rows)
    right = random.random(rows) < 1 / (1 + np.exp(-(slope * logits + intercept)))
    return (1 / (1 + np.exp(-logits))).tolist(), right.tolist()


def test_the_true_parameters_are_found() -> None:
    found = fit(*overconfident(5_000))
    assert (found.method, found.rows) == ("platt", 5_000)
    assert (found.slope, found.intercept) == pytest.approx((0.5, -0.3), abs=0.1)


def test_200_rows_mend_most_of_the_error_on_rows_that_were_not_fitted() -> None:
    found = fit(*overconfident(200))
    assert found.before.ece > 2 * found.before.floor.high
    assert found.after.ece < found.before.ece / 1.5
    assert found.after.brier < found.before.brier
    sure, right = overconfident(5_000, seed=9)
    calibrated = [Calibration(found.method, found.slope, found.intercept, 200).of(each) for each in sure]
    assert abs(np.mean(calibrated) - np.mean(right)) < 0.06


@pytest.mark.parametrize(("rows", "method"), [(50, "temperature"), (99, "temperature"), (100, "platt")])
def test_few_rows_fit_one_parameter(rows: int, method: str) -> None:
    found = fit(*overconfident(rows, seed=3))
    assert found.method == method
    assert (found.intercept == 0) == (method == "temperature")
    assert found.slope > 0


def test_fewer_than_50_rows_are_refused() -> None:
    with pytest.raises(InputDataError, match=r"49 rows .* takes at least 50"):
        fit(*overconfident(49))


@pytest.mark.parametrize("what", ["right", "wrong"])
def test_rows_of_one_kind_teach_nothing(what: str) -> None:
    right = [what == "right"] * 60
    right[0] = not right[0]
    with pytest.raises(InputDataError, match="1 of these 60 rows is"):
        fit([0.9] * 60, right)


def test_confidences_that_say_the_opposite_are_refused() -> None:
    sure, right = overconfident(300, slope=-1, intercept=3)
    with pytest.raises(InputDataError, match="surer answers are not right more often"):
        fit(sure, right)


def test_certain_and_impossible_confidences_are_no_obstacle() -> None:
    sure, right = overconfident(120)
    sure[:20] = [1.0] * 10 + [0.0] * 10
    assert fit(sure, right).slope > 0


def test_what_it_is_worth_is_told_by_rows_that_the_fit_has_not_seen() -> None:
    for seed in range(3):
        sure, right = overconfident(100, seed)
        found = fit(sure, right)
        value = Calibration(found.method, found.slope, found.intercept, found.rows)
        flattering = np.mean([(value.of(each) - truth) ** 2 for each, truth in zip(sure, right, strict=True)])
        assert found.after.brier > flattering + 1e-4
