import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.servers.embedded.question import (
    MAX_TEXT_BYTES,
    Choices,
    Question,
    read_question,
)
from pipeline.servers.protocol.errors import BadRequestError
from tests.servers.embedded.embedded_requests import LABELS, request_body, schema

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=9,
)


def read(body):
    return read_question(json.dumps(body).encode())


def choices(system, *names, field="label"):
    return Choices(system, field, names, 1)


def test_a_request_for_one_label_is_read_whole():
    question = read(request_body("a text", labels={"x": "an x", "y": ""}))
    assert question.text == "a text"
    assert question.logprobs is True
    assert (question.choices.field, question.choices.names, question.choices.most) == ("label", ("x", "y"), 1)
    assert question.choices.descriptions == ["x: an x", "y"]
    assert question.choices.examples == []


@pytest.mark.parametrize(("most", "expected"), [(2, 2), (0, 0)])
def test_a_request_for_several_labels_tells_how_many(most, expected):
    question = read(request_body("a text", most=most))
    assert (question.choices.field, question.choices.most) == ("labels", expected)


def test_without_a_bound_all_labels_may_be_chosen():
    body = request_body("a text", most=2)
    del body["response_format"]["json_schema"]["schema"]["properties"]["labels"]["maxItems"]
    assert read(body).choices.most == len(LABELS)


@given(st.text())
def test_any_text_comes_out_as_it_went_in(text):
    if len(text.encode()) <= MAX_TEXT_BYTES:
        assert read(request_body(text)).text == text


def test_questions_of_one_task_have_equal_choices():
    one, other = read(request_body("one")), read(request_body("other"))
    assert one.choices == other.choices
    assert hash(one.choices) == hash(other.choices)


def test_a_label_may_hold_colons_and_instructions_may_list_things():
    system = "Labels:\n- audio: not this\n\nLabels:\n- works-with::audio: sound\n- audio: this\n- rest"
    found = choices(system, "works-with::audio", "audio", "rest").descriptions
    assert found == ["works-with::audio: sound", "audio: this", "rest"]


def test_a_label_that_the_system_message_does_not_list_stands_for_itself():
    assert choices("Choose well.", "x").descriptions == ["x"]


def test_examples_come_with_their_labels_and_broken_ones_are_left_out():
    lines = [
        "Examples:",
        'Text: "one\u2028line"',
        'Answer: {"labels": ["x", "y"]}',
        "Text: no JSON",
        'Answer: {"labels": ["x"]}',
        'Text: "no answer"',
        "",
        'Text: "wrong field"',
        'Answer: {"label": "x"}',
    ]
    system = "\n".join(lines)
    assert choices(system, "x", "y", field="labels").examples == [("one\u2028line", ["x", "y"])]


def changed(**fields):
    return request_body("a text") | fields


def formatted(properties):
    return changed(
        response_format={
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": {"properties": properties}},
        }
    )


def said(*contents):
    return changed(messages=[{"role": "user", "content": content} for content in contents])


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ([], None),
        (changed(stream="yes"), "stream"),
        (changed(n=0), "n"),
        (changed(response_format=None), "response_format"),
        (changed(response_format={"type": "json_object"}), "response_format"),
        (formatted({}), "response_format"),
        (formatted({"label": {"enum": []}}), "response_format"),
        (formatted({"label": {"enum": [1]}}), "response_format"),
        (formatted({"label": {"enum": "xy"}, "more": {}}), "response_format"),
        (formatted({"label": {"enum": [str(i) for i in range(1001)]}}), "response_format"),
        (formatted({"other": {"items": {"enum": ["x"]}}}), "response_format"),
        (formatted({"labels": {"items": {"enum": ["x"]}, "maxItems": "2"}}), "response_format"),
        (changed(messages=None), "messages"),
        (changed(messages=["hello"]), "messages[0]"),
        (changed(messages=[]), "messages"),
        (said(None), "messages[0].content"),
        (said([{"type": "text", "text": '"x"'}]), "messages"),
        (said("no JSON here"), "messages"),
        (said("a list\n[1]"), "messages"),
        (said('"text"\nand more'), "messages"),
        (said(json.dumps("x" * (MAX_TEXT_BYTES + 1))), "messages"),
    ],
)
def test_a_request_that_cannot_be_answered_names_what_is_wrong(body, param):
    with pytest.raises(BadRequestError) as caught:
        read(body)
    assert (caught.value.status, caught.value.param) == (400, param)


def test_an_unknown_model_is_named():
    with pytest.raises(BadRequestError, match="'gpt-4' does not exist") as caught:
        read(changed(model="gpt-4"))
    assert (caught.value.status, caught.value.code) == (404, "model_not_found")


@given(st.binary() | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_body_is_a_question_or_a_bad_request(body):
    _question_or_refusal(body)


@given(
    st.fixed_dictionaries(
        {}, optional={"response_format": JSON, "messages": JSON, "logprobs": JSON, "stream": JSON}
    )
)
def test_any_field_is_a_question_or_a_bad_request(fields):
    _question_or_refusal(json.dumps(request_body("x") | fields).encode())


@given(JSON)
def test_any_schema_is_a_question_or_a_bad_request(value):
    for name in ("label", "labels"):
        body = request_body("x")
        body["response_format"]["json_schema"]["schema"] = schema(LABELS) | {"properties": {name: value}}
        _question_or_refusal(json.dumps(body).encode())


def _question_or_refusal(body):
    try:
        question = read_question(body)
    except BadRequestError:
        return
    assert isinstance(question, Question)
    assert len(question.choices.descriptions) == len(question.choices.names) >= 1
