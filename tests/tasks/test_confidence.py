"""How sure the model was: the same whether a reply's layout was seen before or not."""

import json
from math import exp

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.tasks.confidence import LONGEST_CACHED, MOST_CACHED, Confidence

TOKENS = ['{"', "label", '":"', "games", '"}']
TEXT = "".join(TOKENS)


def told(tokens: list[str], values: list[float]) -> str:
    return json.dumps(list(zip(tokens, values, strict=True)), separators=(",", ":"), ensure_ascii=False)


NUMBERS = st.one_of(st.integers(-99, 0), st.floats(-100, 0), st.floats(-1e-5, 0))


@given(rows=st.lists(st.lists(NUMBERS, min_size=5, max_size=5), min_size=1, max_size=4))
def test_a_reply_that_comes_again_gets_the_confidence_of_its_own_numbers(rows: list[list[float]]) -> None:
    remembering = Confidence()
    for values in rows:
        logprobs = told(TOKENS, values)
        found = remembering.of(TEXT, logprobs, ("games",))
        assert found == Confidence().of(TEXT, logprobs, ("games",)) == exp(values[3])


def test_other_tokens_of_the_same_reply_are_told_apart() -> None:
    confidence = Confidence()
    assert confidence.of(TEXT, told(TOKENS, [0, 0, 0, -1, -2]), ("games",)) == exp(-1)
    split = ['{"label":"', "gam", 'es"', "}"]
    assert confidence.of(TEXT, told(split, [-9, -1, -2, -9]), ("games",)) == exp(-3)
    assert confidence.of(TEXT, told(TOKENS, [0, 0, 0, -4, -2]), ("games",)) == exp(-4)


def test_replies_do_not_get_each_others_layout() -> None:
    confidence = Confidence()
    for label in ("games", "sound", "games", "sound"):
        tokens = ['{"label": "', label, '"}'] if label == "sound" else ['{"label": "', label, '"', "}"]
        values = [-5.0, -1.0, -3.0, -4.0][: len(tokens)]
        assert confidence.of("".join(tokens), told(tokens, values), (label,)) == exp(-1)


def test_of_several_labels_the_weakest_counts_the_second_time_too() -> None:
    tokens = ['{"labels":["', "games", '","', "sound", '"]}']
    confidence = Confidence()
    for values in ([0, -1, 0, -2, 0], [0, -3, 0, -2, 0]):
        found = confidence.of("".join(tokens), told(tokens, values), ("games", "sound"))
        assert found == exp(min(values))


@pytest.mark.parametrize("tokens", [["}"], ["éa(b)[0],", "x"]])
def test_where_the_label_has_no_place_there_is_no_confidence_not_even_the_second_time(
    tokens: list[str],
) -> None:
    confidence = Confidence()
    for value in (-1.0, -2.0):
        assert confidence.of("games", told(tokens, [value] * len(tokens)), ("games",)) is None
    assert confidence.of("games", "[]", ("games",)) is None


LINES = st.lists(
    st.tuples(
        st.sampled_from([TEXT, "games", '{"labels":[]}', None]),
        st.none()
        | st.lists(NUMBERS, min_size=5, max_size=5).map(lambda values: told(TOKENS, values))
        | st.sampled_from(
            [
                "[]",
                '[["games",-1]]',
                '[["games",\n-2]]',
                told(["gam", "es"], [-1.5, -2]),
                told(["{", "x"], [-1, -2]),
            ]
        ),
    ),
    max_size=12,
)


@given(sets=st.lists(LINES, max_size=3))
def test_the_confidences_of_many_replies_are_those_of_each(
    sets: list[list[tuple[str | None, str | None]]],
) -> None:
    together = Confidence()
    for lines in sets:
        texts, logprobs = [text for text, _ in lines], [numbers for _, numbers in lines]
        labels = [() if text == '{"labels":[]}' else ("games",) for text in texts]
        alone = [
            None if numbers is None or not named else Confidence().of(text or "", numbers, named)
            for text, numbers, named in zip(texts, logprobs, labels, strict=True)
        ]
        assert together.of_all(texts, logprobs, labels) == alone


def test_many_replies_whose_label_cannot_be_located_have_no_confidence() -> None:
    confidence, lines = Confidence(), [told(["gam", "�s"], [-1.0, value]) for value in (-1.0, -2.0)]
    for _ in range(2):
        assert confidence.of_all(["games"] * 2, lines, [("games",)] * 2) == [None, None]


def test_many_replies_of_several_labels_are_searched_at_once_too() -> None:
    tokens = ['{"labels":["', "games", '","', "so", "und", '"]}']
    rows = [[0.0, -1.0, 0.0, -2.0, -0.5, 0.0], [0.0, -3.0, 0.0, -2.0, 0.0, 0.0], [0.0] * 6]
    text, confidence = "".join(tokens), Confidence()
    for _ in range(2):
        found = confidence.of_all(
            [text] * 3, [told(tokens, values) for values in rows], [("games", "sound")] * 3
        )
        assert found == [exp(-2.5), exp(-3.0), 1.0]


def test_the_cache_is_bounded() -> None:
    confidence = Confidence()
    for number in range(MOST_CACHED + 5):
        confidence.of(f"games{number}", told(["games"], [-1.0]), ("games",))
    confidence.of("games", told(["games", "x" * LONGEST_CACHED], [-1.0, 0]), ("games",))
    assert confidence.cached == MOST_CACHED
