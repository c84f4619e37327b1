import random
from collections import Counter

from pipeline.quality.gates import label_shift


def test_nothing_is_compared_with_no_run() -> None:
    assert label_shift({"a": 5}, []) is None
    assert label_shift({}, [{"a": 5}]) is None


def test_the_shift_is_the_share_of_the_rows_that_would_have_to_move() -> None:
    shift = label_shift({"a": 5_000, "b": 5_000}, [{"a": 60_000, "b": 20_000}, {"a": 10_000, "b": 10_000}])
    assert shift is not None
    assert abs(shift.share - 0.2) < 1e-12  # 70 to 30 before, 50 to 50 now
    assert shift.chance < 0.01


def test_labels_that_came_or_went_count() -> None:
    shift = label_shift({"new": 10}, [{"old": 10}])
    assert shift is not None
    assert shift.share == 1


def test_chance_is_what_two_samples_of_the_same_labels_differ_by() -> None:
    random.seed(7)
    shares = [0.5, 0.2, 0.1, 0.1, 0.05, 0.05]
    shifts = []
    for _ in range(300):
        nights = [Counter(random.choices("abcdef", shares, k=rows)) for rows in (200, 1_400)]
        shifts.append(label_shift(nights[0], [nights[1]]))
    mean = sum(shift.share for shift in shifts if shift) / len(shifts)
    expected = sum(shift.chance for shift in shifts if shift) / len(shifts)
    assert abs(mean - expected) < 0.1 * expected
    assert sum(shift.beyond_chance > 0.05 for shift in shifts if shift) <= 0.03 * len(shifts)
