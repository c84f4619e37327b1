"""Columns that stand for the values in them."""

import pytest

from answers import answer, answers, key, prompt
from pipeline.records import Answers, Prompt, Prompts


def test_answers_are_found_by_key_as_they_were_given() -> None:
    found = Answers.of(answers(0, 3))
    assert found == {key(n): answer(n) for n in range(3)}
    assert (found.get(key(9)), key(1) in found, len(found)) == (None, True, 3)


def test_some_of_many_answers_are_chosen_by_place() -> None:
    assert list(Answers.of(answers(0, 3)).where([True, False, True])) == [key(0), key(2)]


def test_no_answers_are_columns_too() -> None:
    assert Answers.of([]) == {}
    assert Answers.of([]).where([]) == {}


def test_prompts_are_a_sequence_with_none_where_a_row_has_no_text() -> None:
    rows = [prompt(1), None, Prompt(key(2), "a", truncated=True)]
    prompts = Prompts.of(rows)
    assert list(prompts) == rows
    assert list(prompts[1:]) == rows[1:]
    assert (len(prompts), len(Prompts.of([]))) == (3, 0)
    with pytest.raises(IndexError):
        prompts[3]
