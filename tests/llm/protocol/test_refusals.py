"""A refusal names its part in the error's `param`, by its API name, or in other words; or it is about something else."""

from dataclasses import replace
from typing import Any

import pytest

from pipeline.llm.protocol.form import RequestForm
from pipeline.llm.protocol.refusals import Named, may_be_about_form, may_be_unnamed, named
from pipeline.llm.replies import Failure, FailureKind
from tests.llm.protocol.test_body import model

FULL = RequestForm("json_schema", logprobs=True, effort="minimal")


def refusal(message: str, status: int = 400, kind: FailureKind = FailureKind.ROW, **more: Any) -> Failure:
    return Failure(kind, f"{status}: {message}", status, **more)


OPENAI = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."


@pytest.mark.parametrize(
    ("message", "part"),
    [
        (OPENAI, "limit"),
        ("Unsupported value: 'temperature' does not support 0 with this model.", "temperature"),
        ("reasoning models do not take the temperature that was sent", "temperature"),
        ("You are not allowed to request logprobs", "logprobs"),
        ("Log probabilities are not available", "logprobs"),
        ("The provided JSON schema contains features not supported by xgrammar.", "structure"),
        ("Unknown name \"additionalProperties\" at 'generation_config.response_schema'", "structure"),
        ("The specified schema produces a constraint that has too many states for serving.", "structure"),
        ("Guided decoding is not supported by this backend", "structure"),
        ("Failed to parse grammar from json_schema", "structure"),
        (
            "'loc': ('body', 'response_format', 'type'), 'msg': \"Input should be 'text' or 'json_object'\"",
            "structure",
        ),
        ("Unrecognized request argument supplied: reasoning_effort", "effort"),
        ("'minimal' is not one of the values", "effort"),
        ("the field topLogprobs is unknown", "logprobs"),
    ],
)
def test_a_part_is_found_in_the_sentence(message: str, part: str) -> None:
    found = named(refusal(message), FULL, model())
    assert found is not None
    assert found.part == part


def test_what_the_endpoint_blames_counts_more_than_its_sentence() -> None:
    failure = refusal("temperature and logprobs: bad value", param="logprobs")
    assert named(failure, FULL, model()) == Named("logprobs", "model.logprobs")


def test_a_part_that_is_not_sent_is_not_to_blame() -> None:
    failure = refusal("logprobs cannot be used with this response_format")
    found = named(failure, replace(FULL, logprobs=False), model())
    assert found is not None
    assert found.part == "structure"


def test_the_efforts_that_are_offered_are_read() -> None:
    failure = refusal(
        "Unsupported value: 'reasoning_effort' does not support 'minimal' with this model. "
        "Supported values are: 'none', 'low', 'medium', and 'high'."
    )
    found = named(failure, FULL, model())
    assert found is not None
    assert found.allowed == {"minimal", "none", "low", "medium", "high"}


@pytest.mark.parametrize(
    ("settings", "message", "setting"),
    [
        ({"seed": 7}, "Extra inputs are not permitted: seed", "model.seed"),
        ({"top_p": 0.5}, "top_p is not supported", "model.top_p"),
        ({"parameters": {"min_p": 0.1}}, "min_p: unknown field", "model.parameters.min_p"),
    ],
)
def test_a_setting_that_always_stays_is_named_to_the_user(
    settings: dict[str, Any], message: str, setting: str
) -> None:
    assert named(refusal(message), FULL, model(**settings)) == Named(None, setting)
    assert named(refusal(message), FULL, model()) is None


@pytest.mark.parametrize("message", ["Request contains an invalid argument.", "no", "the seeds of plants"])
def test_a_sentence_without_a_name_names_nothing(message: str) -> None:
    assert named(refusal(message), FULL, model(seed=7)) is None


@pytest.mark.parametrize("status", [401, 402, 408, 429, 503, 504, 200])
def test_some_statuses_are_about_something_else(status: int) -> None:
    assert not may_be_about_form(refusal("logprobs", status))


@pytest.mark.parametrize(
    "kind", [FailureKind.QUOTA, FailureKind.THROTTLED, FailureKind.UNTRUSTED, FailureKind.GARBLED]
)
def test_some_kinds_are_about_something_else(kind: FailureKind) -> None:
    assert not may_be_about_form(refusal("logprobs", 400, kind))


def test_a_text_that_is_too_long_or_filtered_is_about_the_row() -> None:
    assert may_be_about_form(refusal("max_tokens"))
    assert not may_be_about_form(refusal("max_tokens", about_content=True))


@pytest.mark.parametrize(
    ("failure", "may_be"),
    [
        (refusal("Request contains an invalid argument."), True),
        (refusal("no", 422), True),
        (refusal("no such page", 404, FailureKind.CONFIG), False),
        (
            refusal("No endpoints found that can handle the requested parameters.", 404, FailureKind.CONFIG),
            True,
        ),
        (refusal("invalid value of the header", 403, FailureKind.DENIED), False),
        (refusal("invalid value", 500, FailureKind.TRANSIENT), False),
        (refusal("not found", 400, param="model"), False),
        (refusal("bad", 400, param="messages[1].content"), False),
        (refusal("bad", 400, param="model_settings"), True),
    ],
)
def test_a_refusal_that_names_nothing_may_be_about_the_form(failure: Failure, *, may_be: bool) -> None:
    assert may_be_unnamed(failure) is may_be
