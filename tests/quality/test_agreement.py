import pyarrow as pa
import pytest

from pipeline.quality.agreement import count_right, right_labels


@pytest.mark.parametrize(
    ("cell", "labels"),
    [
        (None, None),
        ("  ", None),
        ("a", {"a"}),
        ("a; b|c, d", {"a", "b", "c", "d"}),
        ('["a, b", "c"]', {"a, b", "c"}),
        ("[]", set()),
        ([], set()),
        (["a", " b "], {"a", "b"}),
        ("[a", {"[a"}),
        (7, {"7"}),
    ],
)
def test_a_cell_has_labels_in_any_of_the_usual_forms(cell: object, labels: set[str] | None) -> None:
    found = right_labels(cell)
    assert found == labels if labels is None else set(found or ()) == labels


def _column(*values: object, kind: pa.DataType | None = None) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(values, kind)])


ALL = _column(*[True] * 4)


def test_rows_without_a_right_label_are_not_judged_and_rows_without_one_of_ours_are_not_right() -> None:
    labels, gold = _column("a", "b", None, "a"), _column("a ", "a", "b", None)
    assert count_right(labels, gold, ALL) == (1, 3)
    assert count_right(labels, gold, _column(*[False, True, True, True])) == (0, 2)


def test_right_labels_may_be_numbers_or_a_dictionary() -> None:
    assert count_right(_column("1", "2", None, "3"), _column(1, 1, 1, 3), ALL) == (2, 4)
    dictionary = pa.chunked_array([pa.array(["a", "b", None, "a"]).dictionary_encode()])
    assert count_right(_column("a", "a", None, "a"), dictionary, ALL) == (2, 3)


def test_lists_are_right_if_they_have_the_same_labels_in_any_order() -> None:
    labels = _column(["a", "b"], [], None, ["a"], kind=pa.list_(pa.string()))
    assert count_right(labels, _column("b;a", "[]", "a", "a,b"), ALL) == (2, 4)
