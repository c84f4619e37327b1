"""A reply names labels of the set, or it is invalid: nothing in between."""

from math import exp, log

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.records import Answer, Answers, Outcome, Status
from tests.ledger.test_store import ANSWERS
from tests.tasks.make import LABELS, answer, parser

SINGLE, MULTI = parser(), parser("multi")


def meant(text: str | None, kind: str = "single") -> tuple[str, ...] | None:
    """The labels that *text* is taken for, or None if it is invalid."""
    outcome = (SINGLE if kind == "single" else MULTI).outcome(answer(text))
    assert (outcome.status is Status.OK) == (outcome.error is None)
    return outcome.labels if outcome.status is Status.OK else None


@pytest.mark.parametrize(
    "text",
    [
        '{"label": "games"}',
        ' \n{ "label" : "games" }\n',
        '{"label": " Games "}',
        '```json\n{"label": "games"}\n```',
        "```\ngames\n```",
        '"games"',
        "'games'",
        "games",
        "GAMES",
        '["games"]',
        '{"label": ["games"]}',
        '{"label": "\\u0067ames"}',
    ],
)
def test_one_label_may_be_written_like_this(text: str) -> None:
    assert meant(text) == ("games",)


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "   ",
        "null",
        "42",
        "{}",
        "[]",
        "``````",
        "``` games ```",
        '{"label": null}',
        '{"label": []}',
        '{"label": ["games", "sound"]}',
        '{"label": "games, sound"}',
        '{"label": "games", "label": "sound"}',
        '{"label": "games", "why": "it is one"}',
        '{"labels": "games"}',
        '{"label": {"label": "games"}}',
        '{"label": "game"}',
        '{"label": "gаmes"}',  # noqa: RUF001 - a Cyrillic letter
        '{"label": "\\"games\\""}',
        '{"label": "games"',
        '{"label": "gam',
        '{"label": NaN}',
        "The label is games.",
        "games.",
        "''games''",
        "'games\"",
        "games\nsound",
        '{"label": "games"} {"label": "games"}',
        "[" * 1000 + "]" * 1000,
        "[" * 100_000,
        "9" * 5000,
        "\ud800",
    ],
)
def test_anything_else_is_invalid(text: str | None) -> None:
    assert meant(text) is None


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ('{"labels": ["games", "sound::midi"]}', ("games", "sound::midi")),
        ('{"labels": []}', ()),
        ("[]", ()),
        ('["SOUND"]', ("sound",)),
        ('{"labels": ["games", "Games", "sound"]}', ("games", "sound")),
        ('{"labels": "games"}', ("games",)),
        ("games", ("games",)),
    ],
)
def test_many_labels_are_a_list_each_once_in_the_order_of_the_reply(
    text: str, labels: tuple[str, ...]
) -> None:
    assert meant(text, "multi") == labels


@pytest.mark.parametrize(
    "text",
    [
        '{"labels": ["games", "none"]}',
        '{"labels": null}',
        '{"label": ["games"]}',
        "",
        '{"labels": [["games"]]}',
    ],
)
def test_one_wrong_label_makes_the_list_invalid(text: str) -> None:
    assert meant(text, "multi") is None


def test_more_labels_than_max_labels_are_invalid_and_doubles_do_not_count() -> None:
    two = parser("multi", max_labels=2)
    assert two.outcome(answer('["games", "sound", "games"]')).labels == ("games", "sound")
    assert two.outcome(answer('["games", "sound", "label"]')).status is Status.INVALID


@given(st.text())
@example('{"label": "label"}')
@example("```json\n```")
@example("'")
def test_whatever_a_model_says_only_known_labels_come_of_it(text: str) -> None:
    for reader in (SINGLE, MULTI):
        outcome = reader.outcome(answer(text))
        assert set(outcome.labels) <= set(LABELS)
        assert (outcome.status is Status.OK) == (outcome.error is None)
        assert outcome.status in {Status.OK, Status.INVALID}


@given(batch=st.lists(ANSWERS, max_size=12, unique_by=lambda each: each.key))
@example(batch=[answer('{"label": "games"}', [("games", -0.5)])])
def test_a_set_of_answers_means_what_each_of_them_means(batch: list[Answer]) -> None:
    batch = [
        each if each.logprobs is None else each._replace(logprobs='[["{",-1],["games",-0.5]]')
        for each in batch
    ]
    for reader in (SINGLE, MULTI):
        columns = reader.outcomes(Answers.of(batch))
        together = list(map(Outcome._make, zip(*columns.values(), strict=True)))
        assert together == [reader.outcome(each) for each in batch]


json_values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=5) | st.sampled_from(LABELS),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["label", "labels", "x"]), inner, max_size=2)
    ),
    max_leaves=6,
)


@given(json_values)
def test_whatever_json_a_model_says_only_known_labels_come_of_it(value: object) -> None:
    text = orjson.dumps(value).decode()
    single, many = SINGLE.outcome(answer(text)), MULTI.outcome(answer(text))
    assert set(single.labels) | set(many.labels) <= set(LABELS)
    assert len(single.labels) == (single.status is Status.OK)


def test_a_reply_cut_at_max_tokens_is_invalid_even_if_it_looks_whole() -> None:
    outcome = SINGLE.outcome(answer('{"label": "games"}', finish="length"))
    assert outcome.status is Status.INVALID
    assert "raise model.max_tokens" in (outcome.error or "")


def test_what_the_endpoint_decided_stands_whatever_the_text_says() -> None:
    refused = answer('{"label": "games"}', status=Status.REFUSED, error="the model refused")
    assert SINGLE.outcome(refused) == Outcome(Status.REFUSED, error="the model refused")


def test_an_error_shows_no_more_than_the_beginning_of_a_long_reply() -> None:
    error = SINGLE.outcome(answer("x" * 100_000)).error or ""
    assert len(error) < 200


def test_an_error_is_one_line_without_control_characters() -> None:
    assert (SINGLE.outcome(answer("no\n\x1b[31m")).error or "").isprintable()


def test_long_replies_are_not_cached() -> None:
    reader = parser()
    for number in range(10):
        reader.outcome(answer("x" * 10_000 + str(number)))
    assert reader.cached == 0


@pytest.mark.parametrize(("text", "asks", "stands"), [("games", 1, True), ("?", 1, False), ("?", 2, True)])
def test_an_invalid_reply_is_worth_one_more_ask(text: str, asks: int, stands: bool) -> None:  # noqa: FBT001
    given_answer = answer(text, asks=asks)
    assert SINGLE.is_final(SINGLE.outcome(given_answer).status, given_answer.asks) is stands


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


def test_a_label_that_is_spelled_like_its_field_is_found_in_its_place() -> None:
    assert sure("single", ('{"', 1.0), ("label", 0.2), ('": "', 1.0), ("label", 0.7), ('"}', 1.0)) == 0.7
    assert sure("single", ('{"', 1.0), ("label", 0.2), ('": " ', 1.0), ("label", 0.7), (' "}', 1.0)) == 0.7
    reply = ('{"', 1.0), ("labels", 0.2), ('": ["', 1.0), ("labels", 0.7), ('"]}', 1.0)
    assert sure("multi", *reply, labels=("labels", "games")) == 0.7


@pytest.mark.parametrize("first", ["sound", "sound ", "SOUND"])
def test_a_label_that_begins_another_one_is_found_in_its_own_place(first: str) -> None:
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
    outcome = SINGLE.outcome(answer("games", [("gam", -0.1), ("?", -0.1)]))
    assert (outcome.status, outcome.confidence) == (Status.OK, None)


def test_tokens_with_other_blanks_than_the_reply_give_the_confidence() -> None:
    tokens = [("```json\n", -5.0), ('{"label": "', -1.0), ("games", -0.5), ('"}\n```', -3.0), ("", 0.0)]
    outcome = SINGLE.outcome(answer('{\n  "label": "games"\n}', tokens))
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
    found = MULTI.outcome(answer(text, list(zip(pieces, values, strict=True)))).confidence
    assert found is not None
    assert exp(sum(value for value in values if value < 0)) - 1e-9 <= found <= 1
