"""Which rows are drawn to be labelled."""

from collections import Counter

import pytest

from pipeline.quality.drawing import Drawing, Lowest
from tests.answers import key


def drawn(rows: int, labels: list[str], seed: int = 0) -> list[int]:
    drawing = Drawing(rows, seed=seed)
    for row, label in enumerate(labels):
        drawing.add(row, [label])
    return drawing.drawn()


TABLE = ["common"] * 9_000 + ["some"] * 900 + ["rare"] * 100


def test_half_is_spread_evenly_over_the_labels_and_half_is_as_the_table_is() -> None:
    counts = Counter(TABLE[row] for row in drawn(300, TABLE))
    assert sum(counts.values()) == 300
    assert 50 <= counts["rare"] <= 56
    assert 50 + 5 <= counts["some"] <= 50 + 28
    assert counts["common"] >= 50 + 110


def test_each_row_is_drawn_once_and_the_seed_chooses() -> None:
    first = drawn(300, TABLE)
    assert first == sorted(set(first))
    assert drawn(300, TABLE) == first
    assert drawn(300, TABLE, seed=1) != first


def test_a_label_with_few_rows_gives_all_of_them_and_others_fill_up() -> None:
    counts = Counter((["a"] * 500 + ["b"] * 3)[row] for row in drawn(100, ["a"] * 500 + ["b"] * 3))
    assert counts == {"a": 97, "b": 3}


def test_a_small_table_is_drawn_whole() -> None:
    assert drawn(100, ["a"] * 7 + ["b"]) == list(range(8))


def test_within_a_label_every_row_is_as_likely() -> None:
    halves = Counter[bool]()
    for seed in range(40):
        halves.update(row < 50 for row in drawn(40, (["a"] * 100) + ["b"] * 20, seed) if row < 100)
    assert 0.42 < halves[True] / halves.total() < 0.58


@pytest.mark.parametrize("count", [5, 10, 19, 20, 21, 500])
def test_the_lowest_keys_of_all_are_drawn_in_whatever_portions_they_come(count: int) -> None:
    keys, drawn = [key(number) for number in range(count)], Lowest[bytes](10)
    for start in range(0, count, 7):
        drawn.update((each, each) for each in keys[start : start + 7] * 2 if drawn.wants(each))
    assert list(drawn.first(10)) == sorted(keys)[:10]
    assert len(drawn) == len(drawn.items) < 20
    drawn.shrink()
    assert set(drawn.items) == set(sorted(keys)[:10])


def test_an_item_is_replaced_by_another_one_with_its_key() -> None:
    drawn = Lowest[str]()
    drawn.add(key(1), "old")
    drawn.add(key(1), "new")
    assert key(1) in drawn
    assert drawn.items == ["new"]
