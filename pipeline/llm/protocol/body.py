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
class RequestFormat:
    """The optional parts of a request, which not every endpoint accepts.

    Attributes:
        mode: How structured output is asked for: one of MODES.
        logprobs: Whether the tokens' log-probabilities are asked for.
    """

    mode: str
    logprobs: bool

    def __str__(self) -> str:
        return f"{self.mode} {'with' if self.logprobs else 'without'} logprobs"


def first_format(model: ModelSettings) -> RequestFormat:
    """Return the format to try first: the strictest that the config allows."""
    mode = MODES[0] if model.structured_output == "auto" else model.structured_output
    return RequestFormat(mode, logprobs=model.logprobs is not False)


def downgraded(request_format: RequestFormat, model: ModelSettings, refusal: str) -> RequestFormat | None:
    """Return the format to try after *request_format* was refused with the message *refusal*; None if there is none."""
    if request_format.logprobs and model.logprobs == "auto" and "logprob" in refusal.lower():
        return replace(request_format, logprobs=False)
    if model.structured_output == "auto" and request_format.mode != MODES[-1]:
        return replace(request_format, mode=MODES[MODES.index(request_format.mode) + 1])
    if request_format.logprobs and model.logprobs == "auto":
        return replace(request_format, logprobs=False)
    return None


class BodyTemplate:
    """A template of request bodies, for one task, one model and one format."""

    def __init__(self, task: Task, model: ModelSettings, request_format: RequestFormat) -> None:
        self.request_format = request_format
        # All but the text is the same for every row, so it is serialized once, as what stands before and after it.
        self._halves = {again: _halves(task, model, request_format, again=again) for again in (False, True)}

    def body(self, text: str, *, again: bool = False) -> bytes:
        """Return the body that asks about *text*; *again* for the stricter second ask, with twice the tokens."""
        before, after = self._halves[again]
        return before + orjson.dumps(user_message(text, again=again)) + after


def _halves(
    task: Task, model: ModelSettings, request_format: RequestFormat, *, again: bool
) -> tuple[bytes, bytes]:
    fields: dict[str, Any] = {
        "model": model.name,
        "messages": [{"role": "system", "content": task.system}, {"role": "user", "content": SLOT}],
        "max_tokens": model.max_tokens * (2 if again else 1),
        **_sampling(model),
    }
    if request_format.mode == "json_schema":
        schema = {"name": "answer", "strict": True, "schema": task.schema}
        fields["response_format"] = {"type": "json_schema", "json_schema": schema}
    elif request_format.mode == "json_object":
        fields["response_format"] = {"type": "json_object"}
    if request_format.logprobs:
        fields["logprobs"] = True
    before, _, after = orjson.dumps(fields).rpartition(orjson.dumps(SLOT))
    return before, after


def _sampling(model: ModelSettings) -> dict[str, float | int]:
    settings = {"temperature": model.temperature, "top_p": model.top_p, "seed": model.seed}
    return {name: value for name, value in settings.items() if value is not None}
