"""Calibration error, and what a perfect forecaster shows."""

import numpy as np
import pytest

from pipeline.quality.reliability import reliability


def forecaster(rows: int, seed: int) -> tuple[list[float], list[bool]]:
    """Confidences, and rows that are right exactly as often as these say."""
    random = np.random.default_rng(seed)
    sure = random.beta(6, 2, rows)
    return sure.tolist(), (random.random(rows) < sure).tolist()


@pytest.mark.parametrize("rows", [60, 200, 1000, 4000])
def test_a_perfect_forecaster_shows_about_the_floor(rows: int) -> None:
    found = [reliability(*forecaster(rows, seed), seed=seed) for seed in range(20)]
    errors, floors = [each.ece for each in found if each], [each.floor for each in found if each]
    assert np.mean(errors) == pytest.approx(np.mean([each.mean for each in floors]), rel=0.2)
    within = sum(error <= floor.high for error, floor in zip(errors, floors, strict=True))
    assert within >= 16
    assert np.mean(errors) > 0.008, "few rows show an error that is none"


def test_an_overconfident_forecaster_is_far_above_the_floor() -> None:
    sure, right = forecaster(400, 1)
    found = reliability([1 - (1 - each) / 10 for each in sure], right)
    assert found is not None
    assert found.ece > 2 * found.floor.high


def test_the_errors_of_four_bins_by_hand() -> None:
    # Each row is a bin of its own, as there are fewer than bins.
    found = reliability([0.9, 0.8, 0.7, 0.6], [True, True, False, True])
    assert found is not None
    assert found.ece == pytest.approx((0.1 + 0.2 + 0.7 + 0.4) / 4)
    assert found.brier == pytest.approx((0.01 + 0.04 + 0.49 + 0.16) / 4)


@pytest.mark.parametrize(("rows", "bins"), [(499, 5), (500, 10), (3, 3)])
def test_the_table_has_few_bins_for_few_rows_and_all_rows_are_in_it(rows: int, bins: int) -> None:
    found = reliability(*forecaster(rows, 0))
    assert found is not None
    assert len(found.table) == bins
    assert sum(each.rows for each in found.table) == rows
    assert all(each.low <= each.right <= each.high for each in found.table)
    confidences = [each.confidence for each in found.table]
    assert confidences == sorted(confidences)


def test_without_rows_nothing_is_said() -> None:
    assert reliability([], []) is None
