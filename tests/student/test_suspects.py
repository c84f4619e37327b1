"""Planted errors come first among the suspects, and texts that are nearly alike are found."""

from functools import partial

import numpy as np
import pytest

from pipeline.student.model import Labels, Student
from pipeline.student.suspects import near_pairs, suspects
from tests.wordy import LABELS, wordy_rows

ROWS, TOP = 2_000, 100


def student(*, single: bool = True) -> Student:
    return Student(LABELS, single=single)


def precision(found: list[int], spoiled: np.ndarray) -> float:
    return float(np.isin(found, spoiled).mean())


@pytest.mark.slow
@pytest.mark.parametrize("confusable", [False, True])
def test_of_the_first_hundred_suspects_eighty_are_errors_that_were_planted(*, confusable: bool) -> None:
    texts, right = wordy_rows(ROWS)
    random = np.random.default_rng(1)
    spoiled = random.choice(ROWS, ROWS // 10, replace=False)
    given: list[Labels] = [(name,) for name in right]
    for row in spoiled.tolist():
        # The next label shares a part of its words.
        step = 1 if confusable else int(random.integers(1, len(LABELS)))
        given[row] = (LABELS[(LABELS.index(right[row]) + step) % len(LABELS)],)
    counted = student().features(texts)
    found = suspects(student, LABELS, counted, given, top=TOP, single=True)
    assert len(found) == TOP
    assert precision([each.place for each in found], spoiled) >= 0.8
    scores = [each.score for each in found]
    assert scores == sorted(scores, reverse=True)
    for each in found:
        assert each.proposed != given[each.place]
        assert each.near is not None
        assert given[each.near] != given[each.place]
    mended = sum(each.proposed == (right[each.place],) for each in found)
    assert mended >= 0.75 * TOP


@pytest.mark.slow
def test_a_label_too_many_or_too_few_is_suspected_in_rows_of_several_labels() -> None:
    texts, right = wordy_rows(ROWS)
    others, second = wordy_rows(ROWS, seed=7)
    both = [f"{one} {other}" for one, other in zip(texts, others, strict=True)]
    given: list[Labels] = [tuple({one, other}) for one, other in zip(right, second, strict=True)]
    random = np.random.default_rng(1)
    spoiled = random.choice(ROWS, ROWS // 10, replace=False)
    for row in spoiled.tolist():
        name = LABELS[random.integers(len(LABELS))]
        given[row] = tuple({*given[row]} ^ {name})
    several = partial(student, single=False)
    found = suspects(several, LABELS, several().features(both), given, top=TOP, single=False)
    assert precision([each.place for each in found], spoiled) >= 0.8
    assert all(set(each.proposed) != set(given[each.place]) for each in found)


def test_texts_that_are_nearly_alike_and_have_other_labels_are_found() -> None:
    texts, right = wordy_rows(400, words=30)
    given: list[Labels] = [(name,) for name in right]
    # Written otherwise, and with a word less; with the same label; with nothing in it.
    texts += [texts[3].upper() + "!", texts[5].rpartition(" ")[0], texts[8].title(), "", ""]
    other = {name: LABELS[number - 1] for number, name in enumerate(LABELS)}
    given += [(other[right[3]],), (other[right[5]],), (right[8],), (LABELS[0],), (LABELS[1],)]
    found = near_pairs(student().features(texts), given, top=10)
    assert [(each.one, each.other) for each in found] == [(3, 400), (5, 401)]
    assert found[0].alike == 1 > found[1].alike >= 0.8


def test_rows_without_a_word_contradict_nothing() -> None:
    assert near_pairs(student().features(["", "!"]), [("mail",), ("games",)], top=10) == []
