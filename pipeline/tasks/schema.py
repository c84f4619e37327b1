"""The JSON schema of an answer: one label, or a list of them."""

from typing import Any

from pipeline.config import TaskSettings


def answer_schema(task: TaskSettings) -> dict[str, Any]:
    """Return the JSON schema that an answer to *task* must follow.

    The root is an object whose properties are all required and that allows no others, as OpenAI's structured outputs
    demand.
    """
    names = {"type": "string", "enum": [label.name for label in task.labels]}
    if task.kind == "single":
        return _object("label", names)
    many: dict[str, Any] = {"type": "array", "items": names}
    if task.max_labels is not None:
        many["maxItems"] = task.max_labels
    return _object("labels", many)


def _object(name: str, value: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {name: value},
        "required": [name],
        "additionalProperties": False,
    }
