"""Which rows are drawn to be labelled."""

from collections import Counter

from pipeline.quality.drawing import Drawing


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
