"""Measures of agreement, counted by hand."""

import pytest

from pipeline.quality.intervals import wilson
from pipeline.quality.metrics import NOTHING, kappa, score

A, B, C = frozenset("a"), frozenset("b"), frozenset("c")


def test_a_small_table_counted_by_hand() -> None:
    gold, given = [A, A, A, B, B, C], [A, A, B, B, None, A]
    found = score(["a", "b", "c"], given, gold, single=True)
    assert found.right == 3
    assert found.confusion is not None
    assert found.confusion.labels == ["a", "b", "c", NOTHING]
    assert found.confusion.counts == [[2, 1, 0, 0], [0, 1, 0, 1], [1, 0, 0, 0], [0, 0, 0, 0]]
    a, b, c = (found.labels[name] for name in "abc")
    assert (a.precision, a.recall, a.support) == pytest.approx((2 / 3, 2 / 3, 3))
    assert (b.precision, b.recall, b.support) == pytest.approx((1 / 2, 1 / 2, 2))
    assert (c.precision, c.recall, c.f1, c.support) == (0, 0, 0, 1)
    assert found.macro_f1 == pytest.approx((2 / 3 + 1 / 2) / 3)
    # 3 right of 5 that got a label, and of 6 that have one
    assert found.micro_f1 == pytest.approx(2 * (3 / 5) * (3 / 6) / (3 / 5 + 3 / 6))


def test_a_row_without_a_label_is_wrong_even_where_no_label_is_right() -> None:
    none: frozenset[str] = frozenset()
    found = score(["a", "b"], [None, none, A], [none, none, A], single=False)
    assert found.right == 2
    assert found.jaccard == pytest.approx(2 / 3)
    assert found.hamming == 0


def test_several_labels_counted_by_hand() -> None:
    gold = [A | B, A, frozenset[str](), B]
    given = [A, A | C, frozenset[str](), B]
    found = score(["a", "b", "c"], given, gold, single=False)
    assert found.right == 2
    assert found.hamming == pytest.approx(2 / 12)
    assert found.jaccard == pytest.approx((1 / 2 + 1 / 2 + 1 + 1) / 4)
    assert found.labels["b"].recall == 0.5
    assert found.labels["c"].precision == 0
    assert found.confusion is None


def test_kappa_of_constant_answers_is_0_and_where_nothing_varies_there_is_none() -> None:
    constant = score(["a", "b"], [A] * 4, [A, A, B, B], single=True)
    assert (constant.kappa, constant.mcc) == (0, 0)
    same = score(["a", "b"], [A] * 4, [A] * 4, single=True)
    assert (same.kappa, same.mcc, same.right, same.macro_f1) == (None, None, 4, 1)


def test_kappa_is_what_its_formula_says() -> None:
    # Agreement .7; by chance .6 * .5 + .4 * .5 = .5.
    first = [A] * 5 + [B] * 5
    second = [A] * 4 + [B] + [A] * 2 + [B] * 3
    assert kappa(["a", "b"], first, second) == pytest.approx((0.7 - 0.5) / (1 - 0.5))


def test_labels_that_never_occur_do_not_lower_the_mean() -> None:
    found = score(["a", "b", "never"], [A, B], [A, B], single=True)
    assert found.macro_f1 == 1
    assert found.labels["never"].support == 0


def test_wilsons_interval_is_that_of_the_textbooks() -> None:
    assert wilson(8, 10) == pytest.approx((0.4902, 0.9433), abs=5e-5)
    assert wilson(0, 10) == pytest.approx((0.0, 0.2775), abs=5e-5)
    assert wilson(0, 0) == (0, 1)
