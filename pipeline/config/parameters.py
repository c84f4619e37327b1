"""The key `model.parameters`: what else is sent with every request, as it stands."""

import math
from collections.abc import Mapping
from typing import Annotated, Any, TypeAlias

from pydantic import AfterValidator, JsonValue, WithJsonSchema

from pipeline.config.values import Within, all_wrong

OUR_SETTINGS: Mapping[str, str] = {
    "model": "set model.name",
    "messages": "set task.instructions and task.text",
    "max_tokens": "set model.max_tokens",
    "max_completion_tokens": "set model.max_tokens, which is sent under the name that the endpoint takes",
    "temperature": "set model.temperature",
    "top_p": "set model.top_p",
    "seed": "set model.seed",
    "logprobs": "set model.logprobs",
    "top_logprobs": "leave it out; model.logprobs asks for all that is used",
    "response_format": "set model.structured_output",
    "reasoning_effort": "set model.reasoning_effort",
    "n": "leave it out; one reply is read",
    "stream": "leave it out; replies are read whole",
    "stream_options": "leave it out; replies are read whole",
    "tools": "leave it out; a reply is text with a label in it",
    "tool_choice": "leave it out; a reply is text with a label in it",
    "functions": "leave it out; a reply is text with a label in it",
}
"""Names that requests have of their own, each with what to do instead."""

ROUTING = frozenset({"service_tier", "prompt_cache_key", "user", "metadata", "store", "provider"})
"""Names that choose who answers and at what price; they do not change what an answer means, and are in no key."""


def _are_not_ours(parameters: dict[str, Any]) -> dict[str, Any]:
    problems: list[tuple[Within, str]] = [
        ((name,), f"does not belong here; {OUR_SETTINGS[name]}")
        for name in parameters
        if name in OUR_SETTINGS
    ]
    problems += [
        ((name,), "is a number that JSON cannot hold; write a finite one")
        for name, value in parameters.items()
        if not _is_finite(value)
    ]
    if problems:
        raise all_wrong(problems)
    return parameters


def _is_finite(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_is_finite, value.values()))
    if isinstance(value, list):
        return all(map(_is_finite, value))
    return not isinstance(value, float) or math.isfinite(value)


Parameters: TypeAlias = Annotated[
    dict[str, JsonValue],
    AfterValidator(_are_not_ours),
    WithJsonSchema({"type": "object", "propertyNames": {"not": {"enum": sorted(OUR_SETTINGS)}}}),
]


def that_change_answers(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of *parameters* that may change what the model answers."""
    return {name: value for name, value in parameters.items() if name not in ROUTING}
