"""A reply names labels of the set, or it is invalid: nothing in between."""

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.records import Answer, Answers, Outcome, Status
from tests.answers import ANSWERS
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
        "``` games ```",
        '```json {"label": "games"} ```',
        '```{"label": "games"}```',
        'Here it is:\n```json\n{"label": "games"}\n```',
        '{"label": "games"}<|im_end|>',
        '{"label": "games"}\n<|eot_id|></s>',
        '[{"label": "games"}]',
        '{"Label": "games"}',
        '{"label": "games", "why": "it is one"}',
        '{"sound": "no", "label": "games", "labels": ["sound"]}',
        '<think>\n\n</think>\n\n{"label": "games"}',
        '<think>Is it {"label": "sound"}? Or </think>?\n</think>\ngames',
        'Perhaps sound.\n</think>\n\n```json\n{"label": "games"}\n```',
        '[THINK]sound?[/THINK]{"label": "games"}',
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
        '{"label": null}',
        '{"label": []}',
        '{"label": ["games", "sound"]}',
        '{"label": "games, sound"}',
        '{"label": "games", "label": "sound"}',
        '{"label": "games", "Label": "sound"}',
        '{"label": "other", "why": "no games"}',
        '{"why": "games"}',
        '{"labels": "games"}',
        '[{"label": "games"}, {"label": "games"}]',
        '```json\n{"label": "games"}\n```\nOr is it sound?',
        "It is\n```\ngames\n```",
        '```{"label": "games"}``` or ```{"label": "sound"}```',
        '```json {"label": "games"} {"label": "games"} ```',
        "<think>It is games",
        '<think>{"label": "games"}',
        "<think>It is games.</think>",
        "<think>games</think>",
        "games</think>",
        '<think>{"label": "games", "sure": true}</think>',
        '<think>{"label": "unknown"}</think>',
        "<think></think>",
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


def test_more_labels_than_max_labels_are_invalid_and_repetitions_do_not_count() -> None:
    two = parser("multi", max_labels=2)
    assert two.outcome(answer('["games", "sound", "games"]')).labels == ("games", "sound")
    assert two.outcome(answer('["games", "sound", "label"]')).status is Status.INVALID


@given(st.text())
@example('{"label": "label"}')
@example("```json\n```")
@example("'")
def test_any_reply_gives_known_labels_only(text: str) -> None:
    for reader in (SINGLE, MULTI):
        outcome = reader.outcome(answer(text))
        assert set(outcome.labels) <= set(LABELS)
        assert (outcome.status is Status.OK) == (outcome.error is None)
        assert outcome.status in {Status.OK, Status.INVALID}


@pytest.mark.slow
@given(batch=st.lists(ANSWERS, max_size=12, unique_by=lambda each: each.key))
@example(batch=[answer('{"label": "games"}', [("games", -0.5)])])
def test_a_batch_of_answers_has_the_outcome_of_each(batch: list[Answer]) -> None:
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
def test_any_json_reply_gives_known_labels_only(value: object) -> None:
    text = orjson.dumps(value).decode()
    single, many = SINGLE.outcome(answer(text)), MULTI.outcome(answer(text))
    assert set(single.labels) | set(many.labels) <= set(LABELS)
    assert len(single.labels) == (single.status is Status.OK)


def test_a_reply_cut_at_max_tokens_is_invalid_even_if_it_looks_whole() -> None:
    outcome = SINGLE.outcome(answer('{"label": "games"}', finish="length"))
    assert outcome.status is Status.INVALID
    assert "raise model.max_tokens" in (outcome.error or "")


def test_an_answer_where_the_thoughts_belong_is_read_and_thoughts_alone_say_what_helps() -> None:
    assert meant('<think>{"label": "games"}</think>') == ("games",)
    assert meant('<think>{"labels": ["games"]}</think>', "multi") == ("games",)
    for text in ("<think>It is a game.</think>", "<think></think>", "<think>It is a ga"):
        error = SINGLE.outcome(answer(text)).error or ""
        assert "model.reasoning_effort" in error
        assert "chat_template_kwargs" in error


def test_a_status_from_the_endpoint_is_final_whatever_the_text() -> None:
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
    assert reader._read.cache_info().currsize == 0


@pytest.mark.parametrize(("text", "asks", "stands"), [("games", 1, True), ("?", 1, False), ("?", 2, True)])
def test_an_invalid_reply_is_worth_one_more_ask(text: str, asks: int, stands: bool) -> None:  # noqa: FBT001
    given_answer = answer(text, asks=asks)
    assert SINGLE.is_final(SINGLE.outcome(given_answer).status, given_answer.asks) is stands
