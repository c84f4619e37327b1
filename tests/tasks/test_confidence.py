"""Confidence: the probability of the labels' tokens, the same whether a reply's layout is cached or not."""

import json
from math import exp, log

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.records import Status
from pipeline.tasks.confidence import LONGEST_CACHED, MOST_CACHED, Confidence
from tests.tasks.make import LABELS, answer, parser

TOKENS = ['{"', "label", '":"', "games", '"}']
TEXT = "".join(TOKENS)


def logprobs_of(tokens: list[str], values: list[float]) -> str:
    return json.dumps(list(zip(tokens, values, strict=True)), separators=(",", ":"), ensure_ascii=False)


NUMBERS = st.one_of(st.integers(-99, 0), st.floats(-100, 0), st.floats(-1e-5, 0))


@given(rows=st.lists(st.lists(NUMBERS, min_size=5, max_size=5), min_size=1, max_size=4))
def test_a_reply_that_comes_again_gets_the_confidence_of_its_own_numbers(rows: list[list[float]]) -> None:
    caching = Confidence()
    for values in rows:
        logprobs = logprobs_of(TOKENS, values)
        found = caching.of(TEXT, logprobs, ("games",))
        assert found == Confidence().of(TEXT, logprobs, ("games",)) == exp(values[3])


def test_other_tokens_of_the_same_reply_are_distinguished() -> None:
    confidence = Confidence()
    assert confidence.of(TEXT, logprobs_of(TOKENS, [0, 0, 0, -1, -2]), ("games",)) == exp(-1)
    split = ['{"label":"', "gam", 'es"', "}"]
    assert confidence.of(TEXT, logprobs_of(split, [-9, -1, -2, -9]), ("games",)) == exp(-3)
    assert confidence.of(TEXT, logprobs_of(TOKENS, [0, 0, 0, -4, -2]), ("games",)) == exp(-4)


def test_replies_do_not_get_each_others_layout() -> None:
    confidence = Confidence()
    for label in ("games", "sound", "games", "sound"):
        tokens = ['{"label": "', label, '"}'] if label == "sound" else ['{"label": "', label, '"', "}"]
        values = [-5.0, -1.0, -3.0, -4.0][: len(tokens)]
        assert confidence.of("".join(tokens), logprobs_of(tokens, values), (label,)) == exp(-1)


def test_of_several_labels_the_weakest_counts_the_second_time_too() -> None:
    tokens = ['{"labels":["', "games", '","', "sound", '"]}']
    confidence = Confidence()
    for values in ([0, -1, 0, -2, 0], [0, -3, 0, -2, 0]):
        found = confidence.of("".join(tokens), logprobs_of(tokens, values), ("games", "sound"))
        assert found == exp(min(values))


@pytest.mark.parametrize("tokens", [["}"], ["éa(b)[0],", "x"]])
def test_a_label_that_cannot_be_located_has_no_confidence_the_second_time_either(
    tokens: list[str],
) -> None:
    confidence = Confidence()
    for value in (-1.0, -2.0):
        assert confidence.of("games", logprobs_of(tokens, [value] * len(tokens)), ("games",)) is None
    assert confidence.of("games", "[]", ("games",)) is None


LINES = st.lists(
    st.tuples(
        st.sampled_from([TEXT, "games", '{"labels":[]}', None]),
        st.none()
        | st.lists(NUMBERS, min_size=5, max_size=5).map(lambda values: logprobs_of(TOKENS, values))
        | st.sampled_from(
            [
                "[]",
                '[["games",-1]]',
                '[["games",\n-2]]',
                logprobs_of(["gam", "es"], [-1.5, -2]),
                logprobs_of(["{", "x"], [-1, -2]),
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
    confidence, lines = Confidence(), [logprobs_of(["gam", "�s"], [-1.0, value]) for value in (-1.0, -2.0)]
    for _ in range(2):
        assert confidence.of_all(["games"] * 2, lines, [("games",)] * 2) == [None, None]


def test_many_replies_of_several_labels_are_searched_at_once_too() -> None:
    tokens = ['{"labels":["', "games", '","', "so", "und", '"]}']
    rows = [[0.0, -1.0, 0.0, -2.0, -0.5, 0.0], [0.0, -3.0, 0.0, -2.0, 0.0, 0.0], [0.0] * 6]
    text, confidence = "".join(tokens), Confidence()
    for _ in range(2):
        found = confidence.of_all(
            [text] * 3, [logprobs_of(tokens, values) for values in rows], [("games", "sound")] * 3
        )
        assert found == [exp(-2.5), exp(-3.0), 1.0]


def test_the_cache_is_bounded() -> None:
    confidence = Confidence()
    for number in range(MOST_CACHED + 5):
        confidence.of(f"games{number}", logprobs_of(["games"], [-1.0]), ("games",))
    confidence.of("games", logprobs_of(["games", "x" * LONGEST_CACHED], [-1.0, 0]), ("games",))
    assert confidence.cached == MOST_CACHED


def sure(kind: str, *tokens: tuple[str, float], labels: tuple[str, ...] = LABELS) -> float | None:
    """The confidence in a reply of *tokens* with their probabilities."""
    logs = [(token, log(probability)) for token, probability in tokens]
    text = "".join(token for token, _ in tokens)
    outcome = parser(kind, labels).outcome(answer(text, logs))
    assert outcome.status is Status.OK
    return None if outcome.confidence is None else round(outcome.confidence, 6)


def test_confidence_is_the_probability_of_the_labels_tokens_alone() -> None:
    assert sure("single", ('{"label"', 0.1), (': "', 0.1), ("ga", 0.9), ("mes", 0.5), ('"}', 0.1)) == 0.45


def test_a_token_that_overlaps_the_label_counts() -> None:
    assert sure("single", ('{"label": "ga', 0.5), ('mes"}', 0.5)) == 0.25


def test_a_label_that_is_spelled_like_its_field_is_located() -> None:
    assert sure("single", ('{"', 1.0), ("label", 0.2), ('": "', 1.0), ("label", 0.7), ('"}', 1.0)) == 0.7
    assert sure("single", ('{"', 1.0), ("label", 0.2), ('": " ', 1.0), ("label", 0.7), (' "}', 1.0)) == 0.7
    reply = ('{"', 1.0), ("labels", 0.2), ('": ["', 1.0), ("labels", 0.7), ('"]}', 1.0)
    assert sure("multi", *reply, labels=("labels", "games")) == 0.7


@pytest.mark.parametrize("first", ["sound", "sound ", "SOUND"])
def test_a_label_that_begins_another_one_is_located(first: str) -> None:
    head = ('{"labels": ["', 1.0)
    assert sure("multi", head, (first, 0.3), ('", "', 1.0), ("sound::midi", 0.9), ('"]}', 1.0)) == 0.3
    assert sure("multi", head, ("sound::midi", 0.9), ('", "', 1.0), (first, 0.3), ('"]}', 1.0)) == 0.3


def test_of_several_labels_the_least_likely_decides() -> None:
    reply = ('["', 1.0), ("games", 0.8), ('", "', 1.0), ("sound", 0.6), ('"]', 1.0)
    assert sure("multi", *reply) == 0.6


def test_an_escaped_label_is_found_too() -> None:
    assert sure("single", ('"', 1.0), ("caf\\u00e9", 0.6), ('"', 1.0), labels=("café", "bar")) == 0.6


@pytest.mark.parametrize("text", ["Straße", "STRASSE", '"strasse"'])
def test_a_label_whose_length_changes_with_its_case_costs_at_most_the_confidence(text: str) -> None:
    assert sure("single", (text, 0.5), labels=("İ", "straße")) in {0.5, None}


def test_a_bare_label_has_a_confidence() -> None:
    assert sure("single", ("ga", 0.5), ("MES", 0.5)) == 0.25


def test_an_empty_list_has_no_confidence() -> None:
    assert sure("multi", ('{"labels": []}', 0.5)) is None


def test_tokens_that_do_not_spell_the_label_give_no_confidence() -> None:
    outcome = parser().outcome(answer("games", [("gam", -0.1), ("?", -0.1)]))
    assert (outcome.status, outcome.confidence) == (Status.OK, None)


def test_tokens_with_other_blanks_than_the_reply_give_the_confidence() -> None:
    tokens = [("```json\n", -5.0), ('{"label": "', -1.0), ("games", -0.5), ('"}\n```', -3.0), ("", 0.0)]
    outcome = parser().outcome(answer('{\n  "label": "games"\n}', tokens))
    assert outcome.confidence == pytest.approx(exp(-0.5))


@given(
    st.lists(st.sampled_from(LABELS), unique=True, min_size=1),
    st.data(),
)
def test_confidence_lies_between_0_and_1_wherever_the_tokens_are_cut(labels: list[str], data) -> None:
    text = orjson.dumps({"labels": labels}).decode()
    cuts = sorted(data.draw(st.sets(st.integers(1, len(text) - 1))))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    values = data.draw(st.lists(st.floats(-20, 0.001), min_size=len(pieces), max_size=len(pieces)))
    found = parser("multi").outcome(answer(text, list(zip(pieces, values, strict=True)))).confidence
    assert found is not None
    assert exp(sum(value for value in values if value < 0)) - 1e-9 <= found <= 1


@pytest.mark.parametrize(
    ("tokens", "place"),
    [
        (["<think>", "games", "?", '"games"', "</think>", '{"label":"', "games", '"}'], 6),
        (["<think>", '{"label":"games"}', "</think>", '{"label":"', "games", '"}'], 4),
        (["```json\n", '{"label":"', "games", '"}', "\n```"], 2),
        (['{"why":"games",', '"label":"', "games", '","sure":"', "games", '"}'], 2),
        (['{"label":"', "games", '","why":"', "games", '"}'], 1),
        (['[{"Label": "', "games", '"}]', "<|im_end|>"], 1),
        (["Perhaps games.", "</think>", "games"], 2),
    ],
)
def test_the_tokens_of_the_answer_are_found_whatever_is_around_it(tokens: list[str], place: int) -> None:
    text, values = "".join(tokens), [float(-number) for number in range(len(tokens))]
    outcome = parser().outcome(answer(text, list(zip(tokens, values, strict=True))))
    assert (outcome.status, outcome.confidence) == (Status.OK, exp(values[place]))


def test_a_label_is_found_in_the_form_in_which_it_was_said() -> None:
    said = ["cafe\u0301", "\u00a0du", " monde"]
    for label in ("caf\u00e9 du monde", "Cafe\u0301 du Monde"):
        outcome = parser(labels=[label, "other"]).outcome(
            answer("".join(said), list(zip(said, [-1.0, -2.0, -3.0], strict=True)))
        )
        assert outcome.confidence == exp(-6)
