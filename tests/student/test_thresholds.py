"""Candidate thresholds."""

import numpy as np

from pipeline.student.thresholds import SHARES, candidates


def test_they_fall_and_each_is_the_lowest_whose_rows_err_little_enough() -> None:
    random = np.random.default_rng(0)
    scores = random.random(5_000)
    agree = random.random(5_000) < scores**0.1
    found = candidates(scores, agree, 0.95)
    assert len(found) > 4
    assert list(found) == sorted(found, reverse=True)
    for threshold in found:
        inside = scores >= threshold
        assert (np.sum(~agree[inside]) + 1) / (inside.sum() + 2) <= 0.05 * max(SHARES)


def test_there_are_none_where_the_student_knows_nothing() -> None:
    scores = np.linspace(0, 1, 1_000)
    assert candidates(scores, np.arange(1_000) % 2 == 0, 0.95) == []
    assert candidates(np.array([]), np.array([], bool), 0.95) == []


def test_equal_scores_stand_or_fall_together() -> None:
    scores = np.array([1.0] * 200 + [0.5] * 200)
    agree = np.array([True] * 200 + [True] * 150 + [False] * 50)
    assert candidates(scores, agree, 0.95) == [1.0]
