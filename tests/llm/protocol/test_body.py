"""Bodies are the same bytes for every row but for its text; refused formats give way to weaker ones."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import ModelSettings
from pipeline.llm.protocol.body import BodyTemplate, RequestFormat, downgraded, first_format
from pipeline.tasks.prompt import Task, user_message
from pipeline.tasks.schema import answer_schema
from tests.tasks.make import settings

TASK = Task(settings(), "system \ue000slot\ue000", bytes(16), answer_schema(settings()))
MODEL = ModelSettings.model_validate({"name": "m", "temperature": 0, "max_tokens": 32})


def model(**more: Any) -> ModelSettings:
    return ModelSettings.model_validate({"name": "m", **more})


def body(request_format: RequestFormat, *, again: bool = False, of: ModelSettings = MODEL) -> dict[str, Any]:
    sent: dict[str, Any] = json.loads(BodyTemplate(TASK, of, request_format).body("text", again=again))
    return sent


def test_the_strictest_format_holds_everything() -> None:
    assert body(RequestFormat("json_schema", logprobs=True)) == {
        "model": "m",
        "messages": [
            {"role": "system", "content": TASK.system},
            {"role": "user", "content": user_message("text")},
        ],
        "max_tokens": 32,
        "temperature": 0,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "answer", "strict": True, "schema": TASK.schema},
        },
        "logprobs": True,
    }


def test_weaker_formats_leave_parts_out() -> None:
    assert body(RequestFormat("json_object", logprobs=False))["response_format"] == {"type": "json_object"}
    plain = body(RequestFormat("text", logprobs=False))
    assert {"response_format", "logprobs"} & set(plain) == set()


def test_a_second_ask_is_stricter_and_has_twice_the_tokens() -> None:
    again = body(RequestFormat("text", logprobs=False), again=True)
    assert again["max_tokens"] == 64
    assert again["messages"][1]["content"] == user_message("text", again=True)


def test_sampling_settings_are_sent_where_they_are_set() -> None:
    sent = body(RequestFormat("text", logprobs=False), of=model(temperature=None, top_p=0.5, seed=7))
    assert (sent["top_p"], sent["seed"], "temperature" in sent) == (0.5, 7, False)


@given(st.text())
def test_only_the_text_differs_between_rows_whatever_it_says(text: str) -> None:
    template = BodyTemplate(TASK, MODEL, RequestFormat("json_schema", logprobs=True))
    sent = template.body(text)
    assert json.loads(json.loads(sent)["messages"][1]["content"].split("\n")[-1]) == text
    first, second = template.body("one"), sent
    shared = first.index(b'"role":"user"')
    assert first[:shared] == second[:shared]


@pytest.mark.parametrize(
    ("settings", "formats"),
    [
        ({}, [("json_schema", True), ("json_object", True), ("text", True), ("text", False)]),
        ({"logprobs": False}, [("json_schema", False), ("json_object", False), ("text", False)]),
        ({"logprobs": True}, [("json_schema", True), ("json_object", True), ("text", True)]),
        ({"structured_output": "json_object"}, [("json_object", True), ("json_object", False)]),
        ({"structured_output": "text", "logprobs": False}, [("text", False)]),
    ],
)
def test_a_refused_format_gives_way_to_weaker_ones_in_this_order(
    settings: dict[str, Any], formats: list[tuple[str, bool]]
) -> None:
    of = model(**settings)
    found: list[RequestFormat] = []
    request_format: RequestFormat | None = first_format(of)
    while request_format is not None:
        found.append(request_format)
        request_format = downgraded(request_format, of, "response_format is not supported")
    assert [(each.mode, each.logprobs) for each in found] == formats


def test_a_refusal_of_logprobs_drops_them_first() -> None:
    request_format = first_format(MODEL)
    assert downgraded(request_format, MODEL, "400: Logprobs are not allowed") == RequestFormat(
        "json_schema", logprobs=False
    )
    assert downgraded(request_format, model(logprobs=True), "logprobs are not allowed") == RequestFormat(
        "json_object", logprobs=True
    )
