"""Prompts and keys: what the model reads, and when two rows share an answer."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.records import Prompt
from pipeline.tasks.prompt import Task, system_message, user_message
from tests.tasks.make import config, settings

EXAMPLES = [{"text": 'a "MIDI"\nsequencer', "label": "sound"}]


def task(folder: Path, **sections: object) -> Task:
    return Task.from_config(config(folder, **sections))


@given(st.text(), st.booleans())
def test_the_text_is_one_json_string_on_the_last_line_whatever_it_says(text: str, again: bool) -> None:  # noqa: FBT001
    before, *rest = user_message(text, again=again).split("\n")
    assert before.startswith("Classify")
    assert len(rest) == 1
    assert json.loads(rest[0]) == text


def test_the_second_ask_is_worded_more_strictly() -> None:
    assert user_message("x") != user_message("x", again=True)
    assert "only the listed labels" in user_message("x", again=True)


def test_the_system_message_holds_instructions_labels_format_and_examples() -> None:
    labels = [{"name": "games", "description": "to play"}, "sound"]
    message = system_message(settings(labels=labels, examples=EXAMPLES))
    assert message == (
        "Choose.\n\nLabels:\n- games: to play\n- sound\n\n"
        'Reply with JSON only, exactly one label from the list: {"label": "..."}\n\n'
        'Examples:\nText: "a \\"MIDI\\"\\nsequencer"\nAnswer: {"label": "sound"}'
    )


def test_an_examples_text_opens_no_turn_of_a_chat_template() -> None:
    message = system_message(settings(examples=[{"text": "a<|im_end|>", "label": "sound"}]))
    assert '"a\\u003c|im_end|>"' in message


def test_many_labels_are_asked_for_as_a_list_with_its_bound() -> None:
    message = system_message(
        settings(
            "multi",
            max_labels=2,
            examples=[{"text": "chess", "labels": ["games"]}, {"text": "?", "labels": []}],
        )
    )
    assert "at most 2" in message
    assert 'Answer: {"labels": ["games"]}' in message
    assert 'Answer: {"labels": []}' in message


OTHER_KEYS = {
    "instructions": {"task": {"instructions": "Choose the best label."}},
    "labels": {"task": {"labels": ["games", "sound"]}},
    "their order": {"task": {"labels": ["sound", "games", "graphics", "science", "mail"]}},
    "a description": {"task": {"labels": ["games", {"name": "sound", "description": "audio"}]}},
    "examples": {"task": {"examples": [{"text": "chess", "label": "games"}]}},
    "kind": {"task": {"kind": "multi"}},
    "max_labels": {"task": {"kind": "multi", "max_labels": 2}},
    "the model": {"model": {"name": "another-model"}},
    "temperature": {"model": {"temperature": 1}},
    "no temperature": {"model": {"temperature": None}},
    "top_p": {"model": {"top_p": 0.5}},
    "seed": {"model": {"seed": 7}},
    "structured_output": {"model": {"structured_output": "text"}},
    "provider": {"model": {"provider": "oxen"}},
    "reasoning_effort": {"model": {"reasoning_effort": "low"}},
    "another effort": {"model": {"reasoning_effort": "none"}},
    "a parameter": {"model": {"parameters": {"frequency_penalty": 1}}},
    "its value": {"model": {"parameters": {"frequency_penalty": 2}}},
}

SAME_KEY = {
    "limits": {
        "limits": {
            "requests_per_minute": 7,
            "tokens_per_minute": 9,
            "max_concurrency": 2,
            "max_cost_usd": 1,
            "max_runtime": "1h",
            "max_failed": "5%",
            "max_outage": "1m",
            "drain": "1s",
            "request_timeout": "9s",
        }
    },
    "the output": {"output": {"path": "elsewhere.parquet", "columns": {"prefix": "x_"}}},
    "the state": {"state": {"dir": "elsewhere"}},
    "the input": {"input": {"path": "other.parquet", "id": "id"}},
    "the endpoint's address": {"model": {"base_url": "http://127.0.0.1:10/v1"}},
    "the key": {"model": {"api_key_env": "OTHER_KEY"}},
    "headers": {"model": {"headers": {"X-Team": "a"}}},
    "the price": {"model": {"price": {"input": 1, "output": 2}}},
    "logprobs": {"model": {"logprobs": False}},
    "max_tokens": {"model": {"max_tokens": 33}},
    "the effort, left to us": {"model": {"reasoning_effort": "auto"}},
    "who answers, and at what price": {
        "model": {
            "parameters": {
                "service_tier": "flex",
                "prompt_cache_key": "k",
                "user": "u",
                "metadata": {"team": "a"},
                "store": False,
                "provider": {"order": ["a"]},
            }
        }
    },
    "the cut, where nothing is cut": {"task": {"max_text_tokens": 50}},
}


def key(folder: Path, text: str = "a text", **sections: object) -> bytes:
    (prompt,) = task(folder, **sections).prompts({"text": [text]})
    assert prompt is not None
    return prompt.key


@pytest.mark.parametrize("what", OTHER_KEYS)
def test_the_key_depends_on(tmp_path: Path, what: str) -> None:
    assert key(tmp_path, **OTHER_KEYS[what]) != key(tmp_path)


def test_all_tasks_that_differ_have_different_keys(tmp_path: Path) -> None:
    keys = {key(tmp_path, **sections) for sections in OTHER_KEYS.values()}
    assert len(keys | {key(tmp_path)}) == len(OTHER_KEYS) + 1


def test_the_order_of_the_parameters_is_not_in_the_key(tmp_path: Path) -> None:
    one = {"top_k": 1, "reasoning": {"enabled": True, "effort": "low"}}
    other = {"reasoning": {"effort": "low", "enabled": True}, "top_k": 1}
    assert key(tmp_path, model={"parameters": one}) == key(tmp_path, model={"parameters": other})


@pytest.mark.parametrize("what", SAME_KEY)
def test_the_key_does_not_depend_on(tmp_path: Path, what: str) -> None:
    assert key(tmp_path, **SAME_KEY[what]) == key(tmp_path)


def test_the_key_depends_on_the_template_and_the_cut_where_they_show(tmp_path: Path) -> None:
    assert key(tmp_path, task={"text": "Text: {text}"}) != key(tmp_path)
    assert key(tmp_path, "long " * 100, task={"max_text_tokens": 3}) != key(tmp_path, "long " * 100)


@given(st.lists(st.text(), unique=True, min_size=2))
def test_different_texts_have_different_keys_of_16_bytes(rows: list[str]) -> None:
    made = PLAIN.prompts({"text": rows})
    keys = [prompt.key for prompt in made if prompt is not None]
    assert len(set(keys)) == len(keys)
    assert {len(one) for one in keys} <= {16}


PLAIN = Task(settings(max_text_tokens=1000), "system", bytes(16), {})


def test_equal_rows_have_equal_prompts_and_blank_ones_have_none() -> None:
    first, second, blank, null = PLAIN.prompts({"text": ["same", "same", " \n", None]})
    assert first == second
    assert isinstance(first, Prompt)
    assert (blank, null) == (None, None)


def test_a_text_that_is_too_long_is_cut_and_says_so() -> None:
    short = Task(settings(max_text_tokens=2), "system", bytes(16), {})
    long, fits = short.prompts({"text": ["123456789", "12345678"]})
    assert long == Prompt(fits.key, "12345678", truncated=True)
    assert fits == Prompt(fits.key, "12345678", truncated=False)


def test_a_lone_surrogate_is_a_question_mark_and_no_crash() -> None:
    (prompt,) = PLAIN.prompts({"text": ["a\ud800b"]})
    assert prompt is not None
    assert prompt.text == "a?b"


def test_keys_are_the_same_in_another_process_and_version(tmp_path: Path) -> None:
    """An answer that was paid for last night must be found again tonight.

    If this fails because the wording was changed on purpose, raise WORDING and take the new digest.
    """
    assert task(tmp_path).fingerprint.hex() == "d4909fcc191ad62f8906b61582ca78c9"
    (prompt,) = PLAIN.prompts({"text": ["a text"]})
    assert prompt is not None
    assert prompt.key.hex() == "b8dbd70f44575fd9bd7889a946cda800"


def test_a_lone_surrogate_changes_no_row_but_its_own() -> None:
    bad, null, plain = PLAIN.prompts({"text": ["a\ud800b", None, "plain"]})
    assert (bad, null) == (PLAIN.prompts({"text": ["a?b"]})[0], None)
    assert plain == PLAIN.prompts({"text": ["plain"]})[0]
