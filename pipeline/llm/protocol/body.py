"""The body of a chat completion request, as bytes."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from pipeline.config import ModelSettings
from pipeline.llm.protocol.form import RequestForm
from pipeline.tasks.prompt import Task, user_message
from pipeline.tasks.schema import pack_schema

SECOND_ASK = 2
"""The ceiling of a second ask's reply, as a multiple of the first one's: that one may have been cut."""

SLOT = "\ue000slot\ue000"
"""Stands for the user message while the template is made; private-use characters keep it unlike any real text."""


class BodyTemplate:
    """A template of request bodies, for one task, one model and one form."""

    def __init__(self, task: Task, model: ModelSettings, form: RequestForm) -> None:
        # All but the text is the same for every row, so it is serialized once, as what stands before and after it.
        self._halves = {again: _halves(task, model, form, again=again) for again in (False, True)}
        self._task, self._model, self._form = task, model, form

    def body(self, text: str, *, again: bool = False) -> bytes:
        """Return the body that asks about *text*; *again* for the stricter second ask, with twice the tokens."""
        before, after = self._halves[again]
        return before + orjson.dumps(user_message(text, again=again)) + after

    def pack(self, ids: Sequence[str], message: str) -> bytes:
        """Return the body that asks about several rows, which have *ids*, in one *message*; it may answer as much about each."""
        task, schema = self._task, pack_schema(self._task.settings, ids)
        optional = _optional_parts(self._model, self._form, schema, times=len(ids))
        return orjson.dumps(_fields(self._model, task.pack_system, message, optional))


def _halves(task: Task, model: ModelSettings, form: RequestForm, *, again: bool) -> tuple[bytes, bytes]:
    optional = _optional_parts(model, form, task.schema, times=SECOND_ASK if again else 1)
    before, _, after = orjson.dumps(_fields(model, task.system, SLOT, optional)).partition(orjson.dumps(SLOT))
    return before, after


def _fields(model: ModelSettings, system: str, user: str, optional: Mapping[str, Any]) -> dict[str, Any]:
    messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
    return {"model": model.name, "messages": messages, **optional, **model.parameters}


def _optional_parts(
    model: ModelSettings, form: RequestForm, schema: Mapping[str, object], *, times: int
) -> dict[str, Any]:
    found: dict[str, Any] = {
        form.limit or "": form.ceiling * times,
        "temperature": model.temperature if form.temperature else None,
        "top_p": model.top_p,
        form.seed or "": model.seed,
        "reasoning_effort": form.effort,
        "response_format": _response_format(schema, form),
        "logprobs": form.logprobs or None,
    }
    return {name: value for name, value in found.items() if name and value is not None}


def _response_format(schema: Mapping[str, object], form: RequestForm) -> dict[str, Any] | None:
    match form.mode:
        case "json_schema" if form.strict:
            told = {"name": "answer", "strict": True, "schema": schema}
        case "json_schema":
            opened = {name: value for name, value in schema.items() if name != "additionalProperties"}
            told = {"name": "answer", "schema": opened}
        case "json_object":
            return {"type": "json_object"}
        case _:
            return None
    return {"type": "json_schema", "json_schema": told}
