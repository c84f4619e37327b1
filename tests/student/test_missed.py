"""The bound on what is missed holds as often as it promises, however the looks fall out."""

from fractions import Fraction
from math import inf

import numpy as np
import pytest

from pipeline.config.values import FailureAllowance
from pipeline.student.missed import Look, audits, looks

ONE_PERCENT = FailureAllowance(Fraction(1), is_percent=True)
DELTA = 0.05


def certified(differs: np.ndarray, coins: np.ndarray, allowed: FailureAllowance) -> tuple[int, int] | None:
    """What the looks at a table come to: the bound, and how many rows left alone do differ; None if all are asked."""
    share = audits(allowed, DELTA, len(differs)) / len(differs)
    for part, delta in looks(share, DELTA):
        asked = coins < part
        look = Look(len(differs), int(asked.sum()), int(differs[asked].sum()))
        if allowed.allows(most := look.most_missed(delta), look.left):
            return most, int(differs[~asked].sum())
    return None


SLOW = [
    pytest.param(truth, 1_000, marks=pytest.mark.slow) for truth in (0.0, 0.002, 0.005, 0.0095, 0.0105, 0.02)
]


@pytest.mark.parametrize(("truth", "draws"), [(0.002, 100), *SLOW])
def test_the_bound_holds_in_at_least_95_of_100_draws(truth: float, draws: int) -> None:
    random = np.random.default_rng(round(truth * 10_000))
    differs = np.zeros(9_000, bool)
    differs[: round(truth * 9_000)] = True
    outcomes = [certified(differs, random.random(9_000), ONE_PERCENT) for _ in range(draws)]
    proven, seldom = (
        [each for each in outcomes if each is not None],
        0.05 * draws + 3 * (0.0475 * draws) ** 0.5,
    )
    assert sum(missed > most for most, missed in proven) <= seldom
    if truth <= 0.002:
        assert len(proven) > 0.9 * draws
    if truth > 0.01:
        assert len(proven) <= seldom


@pytest.mark.slow
def test_rows_that_are_audited_more_than_others_do_not_loosen_the_bound() -> None:
    random = np.random.default_rng(7)
    merged = np.arange(5_000) < 400
    differs = random.random(5_000) < np.where(merged, 0.05, 0.004)
    broken = 0
    for _ in range(1_000):
        coins = random.random(5_000)
        asked, more = coins < 0.1, merged & (coins < 0.4) & (coins >= 0.1)
        look = Look(5_000, *(int(each.sum()) for each in (asked, differs & asked, more, differs & more)))
        broken += int(differs[~asked & ~more].sum()) > look.most_missed(DELTA)
    assert broken <= 0.05 * 1_000 + 3 * (0.05 * 0.95 * 1_000) ** 0.5


def test_the_parts_of_delta_are_delta_and_each_look_has_twice_the_coins() -> None:
    found = list(looks(0.2, 0.05))
    assert sum(delta for _, delta in found) == pytest.approx(0.05)
    assert [share for share, _ in found] == pytest.approx([0.2, 0.4, 0.8])
    assert [share for share, _ in looks(0.4, 0.05)] == pytest.approx([0.4, 0.8, 1.0])


def test_the_first_look_is_enough_if_none_differs_and_a_tenth_fewer_coins_fall() -> None:
    wanted = audits(ONE_PERCENT, DELTA, 9_000)
    assert wanted == 441
    assert ONE_PERCENT.allows(Look(9_000, 397, 0).most_missed(DELTA / 2), 9_000 - 397)
    assert audits(FailureAllowance(Fraction(90), is_percent=False), DELTA, 9_000) == 441
    assert audits(FailureAllowance(Fraction(0), is_percent=False), DELTA, 9_000) == inf


def test_what_was_found_is_not_among_what_is_missed() -> None:
    assert Look(100, 90, 5).most_missed(DELTA) <= 10
    assert Look(100, 100, 5).most_missed(DELTA) == 0


@pytest.mark.parametrize("rows", [1_200, 1_500, 2_000])
def test_the_first_look_is_enough_at_a_small_table_as_well(rows: int) -> None:
    wanted = audits(ONE_PERCENT, DELTA, rows)
    assert 441 < wanted <= rows / 2
    for audited in (round(0.92 * wanted), round(wanted), round(1.08 * wanted)):
        look = Look(rows, audited, 0)
        assert ONE_PERCENT.allows(look.most_missed(DELTA / 2), look.left)


@pytest.mark.parametrize("rows", [0, 1, 100, 900, 1_100])
def test_a_table_that_no_first_look_can_prove_anything_of_is_too_small_for_one(rows: int) -> None:
    assert audits(ONE_PERCENT, DELTA, rows) > rows / 2
