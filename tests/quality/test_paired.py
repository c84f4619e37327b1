"""Paired comparisons: the test, the interval and the words."""

import numpy as np
import pytest
from scipy.stats import binomtest

from pipeline.quality.paired import mcnemar, paired, rows_to_show


def rows(both: int, only_a: int, only_b: int, neither: int) -> tuple[list[bool], list[bool]]:
    a = [True] * (both + only_a) + [False] * (only_b + neither)
    b = [True] * both + [False] * only_a + [True] * only_b + [False] * neither
    return a, b


@pytest.mark.parametrize(("only_a", "only_b"), [(10, 2), (2, 10), (5, 5), (1, 0), (121, 59)])
def test_mcnemars_p_is_that_of_the_exact_binomial_test(only_a: int, only_b: int) -> None:
    assert mcnemar(only_a, only_b) == pytest.approx(binomtest(only_a, only_a + only_b, 0.5).pvalue)


def test_mcnemars_p_by_hand() -> None:
    # Of 6 rows all but one for the same: 2 * (1 + 6) / 64.
    assert mcnemar(5, 1) == pytest.approx(14 / 64)
    assert mcnemar(0, 0) == 1


def test_a_clear_difference_is_named_with_its_interval() -> None:
    found = paired(*rows(200, 10, 60, 30), ("a.yaml", "b.yaml"))
    assert found is not None
    assert (found.accuracy_a, found.accuracy_b, found.difference) == pytest.approx((0.7, 260 / 300, 50 / 300))
    assert 0.1 < found.low < found.difference < found.high < 0.23
    assert found.words.startswith("b.yaml is better than a.yaml: by 16.7 points, and by 1")
    mirrored = paired(*reversed(rows(200, 10, 60, 30)), ("a.yaml", "b.yaml"))
    assert mirrored is not None
    assert mirrored.words.startswith("a.yaml is better than b.yaml: by 16.7 points")


def test_without_a_difference_the_words_say_how_many_rows_could_show_one() -> None:
    found = paired(*rows(230, 15, 14, 41))
    assert found is not None
    assert found.more_rows > 0
    assert found.words == f"no difference can be shown; {found.more_rows:,} more rows could show 2 points"


def test_many_rows_without_a_difference_would_have_shown_one() -> None:
    found = paired(*rows(8000, 150, 150, 1700))
    assert found is not None
    assert found.more_rows == 0
    assert found.words == "no difference can be shown, and one of 2 points would probably have been seen"


def test_as_many_rows_as_it_says_show_2_points_four_times_in_five() -> None:
    needed, random = rows_to_show(100, 1000), np.random.default_rng(0)
    drawn = random.multinomial(needed, [0.06, 0.04, 0.9], size=400)
    seen = sum(mcnemar(int(a), int(b)) < 0.05 for a, b, _ in drawn)
    assert 0.72 <= seen / 400 <= 0.88


def test_the_interval_holds_the_true_difference_in_93_of_100_trials() -> None:
    random, held = np.random.default_rng(0), 0
    for trial in range(200):
        both, a, b, neither = random.multinomial(300, [0.7, 0.06, 0.10, 0.14])
        found = paired(*rows(both, a, b, neither), seed=trial)
        assert found is not None
        held += found.low <= 0.04 <= found.high
    assert held >= 186


def test_without_rows_nothing_is_said() -> None:
    assert paired([], []) is None
