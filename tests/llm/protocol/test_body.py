"""Bodies are the same bytes for every row but for its text, and hold what the form says."""

import json
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import ModelSettings
from pipeline.llm.protocol.body import BodyTemplate
from pipeline.llm.protocol.form import RequestForm
from pipeline.tasks.prompt import Task, user_message
from pipeline.tasks.schema import answer_schema
from tests.tasks.make import settings

TASK = Task(settings(), "system \ue000slot\ue000", bytes(16), answer_schema(settings()))
MODEL = ModelSettings.model_validate({"name": "m", "temperature": 0, "max_tokens": 32})
STRICTEST = RequestForm("json_schema", logprobs=True)
PLAIN = RequestForm("text", logprobs=False)


def model(**more: Any) -> ModelSettings:
    return ModelSettings.model_validate({"name": "m", **more})


def body(form: RequestForm, *, again: bool = False, of: ModelSettings = MODEL) -> dict[str, Any]:
    sent: dict[str, Any] = json.loads(BodyTemplate(TASK, of, form).body("text", again=again))
    return sent


def test_the_strictest_form_holds_everything() -> None:
    assert body(STRICTEST) == {
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


def test_weaker_forms_leave_parts_out() -> None:
    assert body(replace(STRICTEST, mode="json_object"))["response_format"] == {"type": "json_object"}
    bare = body(replace(PLAIN, limit=None, temperature=False))
    assert set(bare) == {"model", "messages"}


def test_a_schema_that_is_not_strict_allows_other_properties() -> None:
    sent = body(replace(STRICTEST, strict=False))["response_format"]["json_schema"]
    assert "strict" not in sent
    assert set(sent["schema"]) == set(TASK.schema) - {"additionalProperties"}


def test_the_ceiling_goes_by_the_name_that_the_form_has() -> None:
    sent = body(replace(PLAIN, limit="max_completion_tokens", ceiling=128))
    assert sent["max_completion_tokens"] == 128
    assert "max_tokens" not in sent


def test_an_effort_is_sent_where_the_form_has_one() -> None:
    assert body(replace(PLAIN, effort="minimal"))["reasoning_effort"] == "minimal"


def test_parameters_are_sent_as_they_stand() -> None:
    parameters = {"service_tier": "flex", "chat_template_kwargs": {"enable_thinking": False, "n": [1, None]}}
    sent = body(PLAIN, of=model(parameters=parameters))
    assert {name: sent[name] for name in parameters} == parameters


def test_a_parameter_that_repeats_the_templates_slot_costs_no_text() -> None:
    template = BodyTemplate(TASK, model(parameters={"user": "\ue000slot\ue000"}), PLAIN)
    sent = json.loads(template.body("a text"))
    assert sent["messages"][1]["content"] == user_message("a text")
    assert sent["user"] == "\ue000slot\ue000"


def test_a_second_ask_is_stricter_and_has_twice_the_tokens() -> None:
    again = body(PLAIN, again=True)
    assert again["max_tokens"] == 64
    assert again["messages"][1]["content"] == user_message("text", again=True)


def test_sampling_settings_are_sent_where_they_are_set() -> None:
    sent = body(replace(PLAIN, temperature=False, seed="seed"), of=model(temperature=None, top_p=0.5, seed=7))
    assert (sent["top_p"], sent["seed"], "temperature" in sent) == (0.5, 7, False)


@given(st.text())
def test_only_the_text_differs_between_rows_whatever_it_says(text: str) -> None:
    template = BodyTemplate(TASK, MODEL, STRICTEST)
    sent = template.body(text)
    assert json.loads(json.loads(sent)["messages"][1]["content"].split("\n")[-1]) == text
    first, second = template.body("one"), sent
    shared = first.index(b'"role":"user"')
    assert first[:shared] == second[:shared]
