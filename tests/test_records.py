"""Values stored as columns behave like the values themselves."""

from pipeline.records import Answers, Prompt
from tests.answers import answer, answers, key, prompt, prompts


def test_answers_are_found_by_key_as_they_were_given() -> None:
    found = Answers.of(answers(0, 3))
    assert found == {key(n): answer(n) for n in range(3)}
    assert (found.get(key(9)), key(1) in found, len(found)) == (None, True, 3)


def test_some_of_many_answers_are_chosen_by_position() -> None:
    assert list(Answers.of(answers(0, 3)).where([True, False, True])) == [key(0), key(2)]


def test_no_answers_are_an_empty_mapping() -> None:
    assert Answers.of([]) == {}
    assert Answers.of([]).where([]) == {}


def test_a_row_without_text_has_no_prompt() -> None:
    rows = [prompt(1), None, Prompt(key(2), "a", truncated=True)]
    found = prompts(*rows)
    assert list(found) == [found[0], found[1], found[2]] == rows
    assert (len(found), list(prompts())) == (3, [])
