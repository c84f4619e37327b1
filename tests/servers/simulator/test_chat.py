"""Chat requests are understood and completions are complete."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.servers.simulator.chat import any_label, content_of, read_ask, write_completion
from pipeline.servers.simulator.service import Service
from pipeline.servers.simulator.settings import SimulatorSettings
from tests.faultserver.client import LABELS, chat


@given(st.text())
def test_any_text_is_read_back_as_it_was(text):
    assert read_ask(chat(text)).text == text


def test_labels_and_form_come_from_the_schema():
    single, multi = read_ask(chat("x")), read_ask(chat("x", multi=True))
    assert (single.labels, single.multi, single.format) == (LABELS, False, "json_schema")
    assert (multi.labels, multi.multi) == (LABELS, True)


def test_labels_come_from_the_system_message_where_there_is_no_schema():
    system = 'Choose.\n\nLabels:\n- a: first: of all\n- b c\n\nReply with {"labels": ["..."]}'
    ask = read_ask(chat("x", system=system, response_format=None))
    assert (ask.labels, ask.multi) == (("a", "b c"), True)


def test_the_row_is_found_behind_a_later_message_that_holds_none():
    messages = [
        {"role": "user", "content": 'Classify:\n"the row"'},
        {"role": "assistant", "content": "so"},
        {"role": "user", "content": [{"type": "text", "text": "That is no label."}]},
    ]
    assert read_ask(chat("", messages=messages)).text == "the row"


def test_a_message_without_a_json_string_is_its_own_text():
    messages = [{"role": "user", "content": "tell me\n42"}]
    assert read_ask(chat("", messages=messages)).text == "tell me\n42"


def test_prompt_tokens_are_a_quarter_of_the_bytes_rounded_up():
    messages = [{"role": "system", "content": "éé"}, {"role": "user", "content": '"abcdefg"'}]
    assert read_ask(chat("", messages=messages)).prompt_tokens == 4


@given(st.lists(st.sampled_from(LABELS), max_size=3))
def test_the_tokens_of_a_reply_make_up_its_content_and_are_counted(labels):
    body = write_completion(read_ask(chat("x", logprobs=True)), content_of(labels)).body
    tokens = body["choices"][0]["logprobs"]["content"]
    content = body["choices"][0]["message"]["content"]
    assert "".join(token["token"] for token in tokens) == content
    assert b"".join(bytes(token["bytes"]) for token in tokens) == content.encode()
    assert body["usage"]["completion_tokens"] == len(tokens)
    assert 0.5 <= math.exp(sum(token["logprob"] for token in tokens)) <= 1


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_a_reply_is_cut_at_max_tokens(name):
    reply = write_completion(read_ask(chat("x", **{name: 2})), content_of("games"))
    choice = reply.body["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == ('{"label"', "length")
    assert reply.tokens.completion == reply.body["usage"]["completion_tokens"] == 2


def test_a_label_is_made_up_from_the_key_and_lists_have_no_doubles():
    singles = {any_label(read_ask(chat(f"row {n}"))) for n in range(50)}
    lists = [any_label(read_ask(chat(f"row {n}", multi=True))) for n in range(50)]
    assert singles == set(LABELS)
    assert {len(labels) for labels in lists} == {0, 1, 2, 3}
    assert all(len(set(labels)) == len(labels) for labels in lists)


def test_without_any_labels_the_answer_is_unknown():
    ask = read_ask(chat("x", response_format=None))
    assert json.loads(content_of(any_label(ask))) == {"label": "unknown"}


def test_a_list_holds_no_more_labels_than_the_schema_allows():
    form = json.loads(chat("x", multi=True))["response_format"]
    form["json_schema"]["schema"]["properties"]["labels"]["maxItems"] = 1
    lists = [any_label(read_ask(chat(f"row {n}", response_format=form))) for n in range(50)]
    assert {len(labels) for labels in lists} == {0, 1}


@pytest.mark.parametrize(
    ("properties", "answer"),
    [
        ({"category": {"enum": ["a"]}}, {"category": "a"}),
        ({"label": {"enum": [7]}}, {"label": 7}),
        ({"label": {"type": "string"}}, {"label": "unknown"}),
        ({"label": {"enum": ["a"]}, "reason": {"type": "string"}}, {"label": "a", "reason": "unknown"}),
        ({"labels": {"type": "array", "items": {"enum": ["a"]}, "minItems": 1}}, {"labels": ["a"]}),
    ],
)
def test_a_schema_of_another_shape_is_answered_as_it_says(properties, answer):
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"properties": properties}}}
    call = Service(SimulatorSettings())._call(read_ask(chat("x", response_format=form)))
    assert json.loads(call.content) == answer


def test_a_reply_ends_before_a_stop():
    reply = write_completion(read_ask(chat("x", stop=["zz", "el"])), content_of("games"))
    choice = reply.body["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == ('{"lab', "stop")


def test_every_choice_says_the_same_and_is_billed():
    one, three = (write_completion(read_ask(chat("x", n=n)), content_of("games")) for n in (1, 3))
    assert [choice["index"] for choice in three.body["choices"]] == [0, 1, 2]
    assert {choice["message"]["content"] for choice in three.body["choices"]} == {'{"label":"games"}'}
    assert three.tokens.completion == 3 * one.tokens.completion
