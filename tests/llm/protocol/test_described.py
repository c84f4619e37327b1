"""What an endpoint says of a model's parameters is heeded, as far as it says that others are refused."""

import json
from dataclasses import replace
from typing import Any

import pytest

from pipeline.llm.protocol.described import fitted
from pipeline.llm.protocol.form import first_form
from tests.llm.protocol.test_body import model

FIRST = first_form(model())
ALL = ["max_tokens", "temperature", "logprobs", "response_format", "structured_outputs"]


def listed(*names: str) -> dict[str, Any]:
    return {"id": "m", "supported_parameters": list(names)}


def schema(*names: str, closed: bool, **properties: Any) -> dict[str, Any]:
    found = {name: {} for name in names} | properties
    return {
        "json_request_schema": {"properties": found, **({"additionalProperties": False} if closed else {})}
    }


@pytest.mark.parametrize(
    ("about", "changes"),
    [
        ({"id": "m"}, {}),
        (listed(*ALL), {}),
        (listed("tools"), {}),  # not about chat completions
        ({"data": listed(*ALL[:-1])}, {"mode": "json_object"}),
        (listed(*ALL[:3]), {"mode": "text"}),
        (listed("max_completion_tokens", *ALL[2:]), {"limit": "max_completion_tokens", "temperature": False}),
        (listed("max_tokens", "temperature", *ALL[3:]), {"logprobs": False}),
        (schema("max_tokens", "temperature", closed=False), {}),
        (schema("max_completion_tokens", closed=False), {"limit": "max_completion_tokens"}),
        (schema("max_tokens", "messages", closed=True), {"logprobs": False, "temperature": False, "mode": "text"}),
        (schema("messages", closed=False, reasoning_effort={"enum": ["high", "low", "none"]}), {"effort": "none"}),
        ({"request_schema": json.dumps({"properties": {"max_completion_tokens": {}}})}, {"limit": "max_completion_tokens"}),
    ],
)  # fmt: skip
def test_what_is_said_is_heeded(about: dict[str, Any], changes: dict[str, Any]) -> None:
    assert fitted(FIRST, model(), about) == replace(FIRST, **changes)


@pytest.mark.parametrize(
    "about",
    [
        {"json_request_schema": None},
        {"json_request_schema": "no JSON"},
        {"json_request_schema": {"properties": []}},
        {"supported_parameters": "temperature"},
        {"supported_parameters": [1, None]},
        {"data": [listed("temperature")]},
        {"request_schema": {"properties": {"messages": {}, "reasoning_effort": {"enum": "low"}}}},
    ],
)
def test_what_cannot_be_read_changes_nothing(about: dict[str, Any]) -> None:
    assert fitted(FIRST, model(), about) == FIRST


def test_what_the_config_asks_for_is_sent_whatever_is_said() -> None:
    asked = model(temperature=0, logprobs=True, structured_output="json_schema", reasoning_effort="low")
    assert fitted(first_form(asked), asked, listed("max_tokens")) == first_form(asked)
