"""`model.parameters` takes what is not ours, whatever it is; `model.reasoning_effort` takes a word."""

import pytest

from pipeline.config.parameters import OUR_SETTINGS, that_change_answers


def test_parameters_are_kept_as_they_are_written(job):
    written = "{parameters: {frequency_penalty: 0.5, top_k: 20, chat_template_kwargs: {enable_thinking: false}, stop: [a, null]}}"
    assert job.load(model=written).model.parameters == {
        "frequency_penalty": 0.5,
        "top_k": 20,
        "chat_template_kwargs": {"enable_thinking": False},
        "stop": ["a", None],
    }


def test_a_variable_is_filled_in_within_parameters(job):
    config = job.load(model="{parameters: {metadata: {team: '${TEAM}'}}}", env={"TEAM": "a"})
    assert config.model.parameters == {"metadata": {"team": "a"}}


def test_parameters_with_nothing_below_are_as_if_left_out(job):
    assert job.load(model="\n  parameters:").model.parameters == {}


@pytest.mark.parametrize("name", OUR_SETTINGS)
def test_a_name_that_a_setting_sends_is_refused_and_the_setting_named(job, name):
    line = f"job.yaml:4: model.parameters.{name}: 1 does not belong here; {OUR_SETTINGS[name]}"
    assert job.problems(model=f"{{parameters: {{{name}: 1}}}}") == [line]


def test_a_number_that_json_cannot_hold_is_refused(job):
    (line,) = job.problems(model="{parameters: {min_p: {a: [.inf]}}}")
    assert line == "job.yaml:4: model.parameters.min_p: is a number that JSON cannot hold; write a finite one"


def test_parameters_belong_to_one_endpoint(job):
    config = job.load(model="{provider: openai, parameters: {service_tier: flex}}", provider="simulate")
    assert config.model.parameters == {}


def test_what_chooses_who_answers_does_not_change_answers():
    routing = {"service_tier": "flex", "provider": {"order": []}, "prompt_cache_key": "a", "user": "b"}
    assert that_change_answers({**routing, "min_p": 0.1}) == {"min_p": 0.1}


@pytest.mark.parametrize("word", ["auto", "none", "minimal", "low", "xhigh", "some-new_word2"])
def test_an_effort_is_any_word(job, word):
    assert job.load(model=f"{{reasoning_effort: {word}}}").model.reasoning_effort == word


@pytest.mark.parametrize("word", ["Low", "'a b'", "''"])
def test_an_effort_is_a_word_in_small_letters(job, word):
    (line,) = job.problems(model=f"{{reasoning_effort: {word}}}")
    assert line.endswith(
        "is not an effort; write auto, none, minimal, low, medium or high, as the model takes it"
    )


def test_a_default_temperature_is_told_from_one_that_is_asked_for(job):
    assert "temperature" not in job.load().model.model_fields_set
    assert "temperature" in job.load(model="{temperature: 0}").model.model_fields_set
    assert "temperature" in job.load(overrides=["model.temperature=0"]).model.model_fields_set
