"""The JSON schema of an answer: one label, or a list of them; or those of several rows, each under its id."""

from collections.abc import Sequence
from typing import Any

from pipeline.config import TaskSettings
from pipeline.tasks.tokens import estimate_tokens

CACHED_FROM = 1024
"""Tokens from which providers cache how a request begins, of which the schema is a part."""


def answer_schema(task: TaskSettings) -> dict[str, Any]:
    """Return the JSON schema that an answer to *task* must follow.

    The root is an object whose properties are all required and that allows no others, as OpenAI's structured outputs
    demand.
    """
    return _object({answer_field(task): _labels(task)})


def answer_field(task: TaskSettings) -> str:
    """Return the name of the field that an answer is in."""
    return "label" if task.kind == "single" else "labels"


def is_listed(task: TaskSettings) -> bool:
    """Return whether the answers about several rows come as a list, whose schema is the same in every request.

    Else they are an object with a property for each id, which leaves a model no choice of ids. But a schema that differs
    from request to request stands before what a provider could have in its cache, where that is long enough.
    """
    texts = [task.instructions, *(f"{label.name} {label.description}" for label in task.labels)]
    texts += [example.text for example in task.examples]
    return sum(map(estimate_tokens, texts)) >= CACHED_FROM


def pack_schema(task: TaskSettings, ids: Sequence[str]) -> dict[str, Any]:
    """Return the JSON schema that the answers about several rows, which have *ids*, must follow."""
    if is_listed(task):
        item = _object({"id": {"type": "string"}, answer_field(task): _labels(task)})
        return _object({"answers": {"type": "array", "items": item}})
    # The labels once: providers bound the values in all of a schema. The name is short, as it is paid for with each id.
    answer = {"$ref": "#/$defs/a"}
    return {**_object(dict.fromkeys(ids, answer)), "$defs": {"a": _labels(task)}}


def _labels(task: TaskSettings) -> dict[str, Any]:
    names = {"type": "string", "enum": [label.name for label in task.labels]}
    if task.kind == "single":
        return names
    bound = {} if task.max_labels is None else {"maxItems": task.max_labels}
    return {"type": "array", "items": names, **bound}


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
