"""What is asked for first, and what gives way: never what the config asks for."""

from dataclasses import replace
from typing import Any

import pytest

from pipeline.llm.protocol.form import (
    PARTS,
    Part,
    RequestForm,
    difference,
    first_form,
    is_sent,
    trials,
    weaker,
)
from tests.llm.protocol.test_body import model

OLD = RequestForm("json_schema", logprobs=True)
NEW = replace(OLD, limit="max_completion_tokens")
SILENT = replace(NEW, temperature=False, logprobs=False)


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("gpt-4-1-nano-2025-04-14", OLD),
        ("gpt-4o-mini", OLD),
        ("gpt-35-turbo", OLD),
        ("some-model", OLD),
        ("gpt-5-nano", replace(SILENT, effort="minimal")),
        ("openai/gpt-5-nano", replace(SILENT, effort="minimal")),
        ("GPT-5-nano-2025-08-07", replace(SILENT, effort="minimal")),
        ("gpt-5-chat-latest", NEW),
        ("gpt-5.1", replace(NEW, effort="none")),
        ("gpt-5-4-nano", replace(NEW, effort="none")),
        ("gpt-5.6-luna", replace(NEW, effort="none")),
        ("gpt-6-luna", replace(NEW, effort="none")),
        ("o4-mini", replace(SILENT, effort="low")),
        ("olmo-2", OLD),
        ("gemini-2.5-flash-lite", replace(OLD, effort="none")),
        ("gemini-3-flash-lite", replace(OLD, effort="none")),
        ("gpt-oss-20b", replace(OLD, effort="low")),
    ],
)
def test_a_models_name_saves_refusals(name: str, form: RequestForm) -> None:
    assert first_form(model(name=name)) == form


def test_all_models_of_openai_are_asked_with_the_newer_name_of_the_ceiling() -> None:
    assert first_form(model(provider="openai", name="gpt-4.1-nano")).limit == "max_completion_tokens"


def test_what_the_config_asks_for_is_sent_whatever_the_family() -> None:
    asked = model(name="gpt-5-nano", temperature=0, logprobs=True, reasoning_effort="low")
    form = first_form(asked)
    assert (form.temperature, form.logprobs, form.effort) == (True, True, "low")


def test_a_family_that_is_told_not_to_reason_takes_temperature_and_logprobs() -> None:
    form = first_form(model(name="gpt-5-nano", reasoning_effort="none"))
    assert (form.temperature, form.logprobs, form.effort) == (True, True, "none")


@pytest.mark.parametrize(
    "own", [{"reasoning": {"enabled": False}}, {"chat_template_kwargs": {"thinking": False}}]
)
def test_reasoning_told_in_the_endpoints_own_way_needs_no_effort_beside_it(own: dict[str, Any]) -> None:
    assert first_form(model(name="openai/gpt-5-nano", parameters=own)).effort is None


def test_no_temperature_is_sent_where_there_is_none() -> None:
    assert first_form(model(temperature=None)).temperature is False


def chain(form: RequestForm | None, part: Part, **settings: Any) -> list[RequestForm]:
    found = []
    while form is not None:
        found.append(form)
        form = weaker(form, part, model(**settings))
    return found


def test_structure_gives_way_step_by_step() -> None:
    assert [form.mode for form in chain(OLD, "structure")] == ["json_schema", "json_object", "text"]


def test_a_schema_whose_strictness_is_refused_is_asked_for_without_it_first() -> None:
    loose = weaker(OLD, "structure", model(), loosely=True)
    assert loose == replace(OLD, strict=False)
    assert weaker(loose, "structure", model(), loosely=True) == replace(loose, mode="json_object")


def test_the_ceiling_is_renamed_before_it_is_left_out() -> None:
    assert [form.limit for form in chain(OLD, "limit")] == ["max_tokens", "max_completion_tokens", None]
    names = [form.limit for form in chain(first_form(model(name="gpt-5")), "limit", name="gpt-5")]
    assert names == ["max_completion_tokens", "max_tokens", None]


def test_a_ceiling_that_the_config_sets_is_renamed_and_never_left_out() -> None:
    assert [form.limit for form in chain(OLD, "limit", max_tokens=32)] == [
        "max_tokens",
        "max_completion_tokens",
    ]


def test_an_effort_that_is_refused_gives_way_to_the_next_and_then_to_none_at_all() -> None:
    efforts = [form.effort for form in chain(replace(OLD, effort="none"), "effort")]
    assert efforts == ["none", "minimal", "low", None]


def test_an_effort_that_the_refusal_offers_comes_first() -> None:
    form = replace(OLD, effort="minimal")
    offered = weaker(form, "effort", model(), allowed={"none", "low", "high", "minimal"})
    assert offered == replace(form, effort="none")


@pytest.mark.parametrize(
    ("part", "settings"),
    [
        ("structure", {"structured_output": "json_schema"}),
        ("logprobs", {"logprobs": True}),
        ("temperature", {"temperature": 0}),
        ("effort", {"reasoning_effort": "low"}),
    ],
)
def test_what_the_config_asks_for_never_gives_way(part: Part, settings: dict[str, Any]) -> None:
    form = replace(OLD, effort="low")
    assert weaker(form, part, model()) is not None
    assert weaker(form, part, model(**settings)) is None
    assert all(is_sent(part, each) for each in trials(form, model(**settings)))


def test_a_refusal_without_a_name_is_answered_by_the_same_then_each_part_alone_then_all_of_them() -> None:
    full = replace(OLD, effort="low")
    assert list(trials(full, model())) == [
        full,
        replace(full, logprobs=False),
        replace(full, mode="json_object"),
        replace(full, mode="text"),
        replace(full, temperature=False),
        replace(full, effort=None),
        replace(full, limit="max_completion_tokens"),
        replace(full, logprobs=False, temperature=False, effort=None, mode="json_object"),
        replace(full, logprobs=False, temperature=False, effort=None, mode="text"),
    ]


def test_nothing_is_tried_but_the_ceilings_name_where_the_config_asks_for_all_else() -> None:
    fixed = model(structured_output="text", logprobs=False, temperature=0, max_tokens=32)
    assert len(list(trials(first_form(fixed), fixed))) == 2


@pytest.mark.parametrize("part", PARTS)
def test_each_step_is_told_in_words(part: Part) -> None:
    full = replace(OLD, effort="low")
    after = weaker(full, part, model())
    assert after is not None
    words = {
        "structure": "json_object instead of json_schema",
        "logprobs": "no logprobs",
        "temperature": "no temperature",
        "effort": "no reasoning_effort",
        "limit": "max_completion_tokens instead of max_tokens",
    }
    assert difference(full, after) == words[part]
