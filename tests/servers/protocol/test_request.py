"""What is no chat completion request is refused with the field that is wrong, and never with a fault of ours."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.servers.protocol.errors import BadRequestError
from pipeline.servers.protocol.request import RULES, read_request, text_of
from pipeline.servers.simulator.chat import read_ask
from tests.faultserver.client import schema

PLAIN: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


def read(**fields: Any) -> dict[str, Any]:
    return read_request(json.dumps({**PLAIN, **fields}).encode())


@pytest.mark.parametrize(
    "fields",
    [
        {},
        dict.fromkeys(RULES.keys() - {"model"}),
        {"n": 128, "max_tokens": 1, "temperature": 2, "top_p": 0, "frequency_penalty": -2, "seed": -1},
        {"stop": "x", "logprobs": True, "top_logprobs": 20, "modalities": ["text"], "tool_choice": "auto"},
        {"stream": True, "stream_options": {"include_usage": True}},
        {"max_tokens": 5, "max_completion_tokens": 5},
        {"chat_template_kwargs": {"enable_thinking": False}, "provider": {"sort": "price"}},
        {"response_format": {"type": "text"}},
        {"response_format": schema(("a", "b"))},
        {"messages": [{"role": role, "content": "x"} for role in ("developer", "system", "user", "tool")]},
        {"messages": [{"role": "assistant"}, {"role": "user", "content": [{"type": "text", "text": "x"}]}]},
    ],
)
def test_a_request_within_the_bounds_is_read(fields: dict[str, Any]) -> None:
    assert read(**fields).items() >= fields.items()


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": None}, "model"),
        ({"model": 7}, "model"),
        ({"model": ""}, "model"),
        ({"messages": None}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": ["hi"]}, "messages[0]"),
        ({"messages": [*PLAIN["messages"], {"role": "king", "content": "x"}]}, "messages[1].role"),
        ({"messages": [{"role": ["user"], "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": 7}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0].content"),
        ({"max_tokens": "x"}, "max_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"max_completion_tokens": -1}, "max_completion_tokens"),
        ({"n": 0}, "n"),
        ({"n": 129}, "n"),
        ({"temperature": 2.1}, "temperature"),
        ({"temperature": "0"}, "temperature"),
        ({"top_p": -0.1}, "top_p"),
        ({"seed": 0.5}, "seed"),
        ({"logprobs": 1}, "logprobs"),
        ({"top_logprobs": 21, "logprobs": True}, "top_logprobs"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop"),
        ({"stop": [1]}, "stop"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": {}}, "stream_options"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": {"type": "function"}}, "tool_choice"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"response_format": "json"}, "response_format"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, "response_format.json_schema.name"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": []}}},
            "response_format.json_schema.schema",
        ),
    ],
)
def test_a_field_of_a_wrong_type_or_out_of_bounds_is_named(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequestError) as caught:
        read(**fields)
    assert (caught.value.status, caught.value.param) == (400, param)
    assert param.rpartition(".")[2] in str(caught.value)


def test_a_long_wrong_value_is_told_in_part() -> None:
    with pytest.raises(BadRequestError) as caught:
        read(messages="x" * 10_000)
    assert len(str(caught.value)) < 200


def test_a_message_of_parts_has_the_text_of_all() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert (text_of({"content": parts}), text_of({"content": None}), text_of({})) == ("ab", "", "")


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
FIELDS = st.sampled_from([*RULES, "messages", "response_format"])


@given(st.dictionaries(FIELDS, ANYTHING, max_size=4))
def test_any_value_in_any_field_is_read_or_refused(fields: dict[str, Any]) -> None:
    with suppress(BadRequestError):
        read_ask(json.dumps({**PLAIN, **fields}).encode())


@given(st.binary() | ANYTHING.map(lambda value: json.dumps(value).encode()))
def test_any_body_is_read_or_refused(body: bytes) -> None:
    with suppress(BadRequestError):
        read_ask(body)


@given(ANYTHING, ANYTHING)
def test_any_schema_is_answered_or_refused(value: Any, items: Any) -> None:
    for properties in (
        {"label": value},
        {"labels": value},
        {"labels": {"items": items, "maxItems": value}},
        value,
    ):
        told = {"name": "x", "schema": {"properties": properties}}
        form = {"type": "json_schema", "json_schema": told}
        with suppress(BadRequestError):
            read_ask(json.dumps({**PLAIN, "response_format": form}).encode())
