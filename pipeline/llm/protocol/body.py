"""The body of a chat completion request, as bytes."""

from dataclasses import dataclass, replace
from typing import Any

import orjson

from pipeline.config import ModelSettings
from pipeline.tasks.prompt import Task, user_message

MODES = ("json_schema", "json_object", "text")
"""The modes of structured output, the strictest first."""

SLOT = "\ue000slot\ue000"
"""Stands for the user message while the template is made; private-use characters keep it unlike any real text."""


@dataclass(frozen=True, slots=True)
class Form:
    """The optional parts of a request, which not every endpoint accepts.

    Attributes:
        mode: How structured output is asked for: one of MODES.
        logprobs: Whether the tokens' log-probabilities are asked for.
    """

    mode: str
    logprobs: bool

    def __str__(self) -> str:
        return f"{self.mode} {'with' if self.logprobs else 'without'} logprobs"


def first_form(model: ModelSettings) -> Form:
    """Return the form to try first: the strictest that the config allows."""
    mode = MODES[0] if model.structured_output == "auto" else model.structured_output
    return Form(mode, logprobs=model.logprobs is not False)


def weaker(form: Form, model: ModelSettings, refusal: str) -> Form | None:
    """Return the form to try after *form* was refused with the message *refusal*; None if the config allows none."""
    if form.logprobs and model.logprobs == "auto" and "logprob" in refusal.lower():
        return replace(form, logprobs=False)
    if model.structured_output == "auto" and form.mode != MODES[-1]:
        return replace(form, mode=MODES[MODES.index(form.mode) + 1])
    if form.logprobs and model.logprobs == "auto":
        return replace(form, logprobs=False)
    return None


class BodyTemplate:
    """A template of request bodies, for one task, one model and one form."""

    def __init__(self, task: Task, model: ModelSettings, form: Form) -> None:
        self.form = form
        # All but the text is the same for every row, so it is serialized once, as what stands before and after it.
        self._halves = {again: _halves(task, model, form, again=again) for again in (False, True)}

    def body(self, text: str, *, again: bool = False) -> bytes:
        """Return the body that asks about *text*; *again* for the stricter second ask, with twice the tokens."""
        before, after = self._halves[again]
        return before + orjson.dumps(user_message(text, again=again)) + after


def _halves(task: Task, model: ModelSettings, form: Form, *, again: bool) -> tuple[bytes, bytes]:
    fields: dict[str, Any] = {
        "model": model.name,
        "messages": [{"role": "system", "content": task.system}, {"role": "user", "content": SLOT}],
        "max_tokens": model.max_tokens * (2 if again else 1),
        **_sampling(model),
    }
    if form.mode == "json_schema":
        schema = {"name": "answer", "strict": True, "schema": task.schema}
        fields["response_format"] = {"type": "json_schema", "json_schema": schema}
    elif form.mode == "json_object":
        fields["response_format"] = {"type": "json_object"}
    if form.logprobs:
        fields["logprobs"] = True
    before, _, after = orjson.dumps(fields).rpartition(orjson.dumps(SLOT))
    return before, after


def _sampling(model: ModelSettings) -> dict[str, float | int]:
    settings = {"temperature": model.temperature, "top_p": model.top_p, "seed": model.seed}
    return {name: value for name, value in settings.items() if value is not None}
