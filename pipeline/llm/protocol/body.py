"""The body of a chat completion request, as bytes."""

from typing import Any

import orjson

from pipeline.config import ModelSettings
from pipeline.llm.protocol.form import RequestForm
from pipeline.tasks.prompt import Task, user_message

SECOND_ASK = 2
"""The ceiling of a second ask's reply, as a multiple of the first one's: that one may have been cut."""

SLOT = "\ue000slot\ue000"
"""Stands for the user message while the template is made; private-use characters keep it unlike any real text."""


class BodyTemplate:
    """A template of request bodies, for one task, one model and one form."""

    def __init__(self, task: Task, model: ModelSettings, form: RequestForm) -> None:
        # All but the text is the same for every row, so it is serialized once, as what stands before and after it.
        self._halves = {again: _halves(task, model, form, again=again) for again in (False, True)}

    def body(self, text: str, *, again: bool = False) -> bytes:
        """Return the body that asks about *text*; *again* for the stricter second ask, with twice the tokens."""
        before, after = self._halves[again]
        return before + orjson.dumps(user_message(text, again=again)) + after


def _halves(task: Task, model: ModelSettings, form: RequestForm, *, again: bool) -> tuple[bytes, bytes]:
    fields: dict[str, Any] = {
        "model": model.name,
        "messages": [{"role": "system", "content": task.system}, {"role": "user", "content": SLOT}],
        **_optional_parts(task, model, form, again=again),
        **model.parameters,
    }
    before, _, after = orjson.dumps(fields).partition(orjson.dumps(SLOT))
    return before, after


def _optional_parts(task: Task, model: ModelSettings, form: RequestForm, *, again: bool) -> dict[str, Any]:
    found: dict[str, Any] = {
        form.limit or "": form.ceiling * (SECOND_ASK if again else 1),
        "temperature": model.temperature if form.temperature else None,
        "top_p": model.top_p,
        form.seed or "": model.seed,
        "reasoning_effort": form.effort,
        "response_format": _response_format(task, form),
        "logprobs": form.logprobs or None,
    }
    return {name: value for name, value in found.items() if name and value is not None}


def _response_format(task: Task, form: RequestForm) -> dict[str, Any] | None:
    match form.mode:
        case "json_schema" if form.strict:
            schema = {"name": "answer", "strict": True, "schema": task.schema}
        case "json_schema":
            opened = {name: value for name, value in task.schema.items() if name != "additionalProperties"}
            schema = {"name": "answer", "schema": opened}
        case "json_object":
            return {"type": "json_object"}
        case _:
            return None
    return {"type": "json_schema", "json_schema": schema}
