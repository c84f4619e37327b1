"""Every body that can be sent is valid against the published specification of a request."""

import json
from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from pipeline.config import ModelSettings
from pipeline.llm.protocol.body import BodyTemplate
from pipeline.llm.protocol.form import EFFORTS, LIMITS, MODES, RequestForm
from pipeline.servers.protocol.request import read_request
from pipeline.tasks.prompt import Task, system_message
from pipeline.tasks.schema import answer_schema
from tests.specification import REQUEST, problems
from tests.tasks.make import settings

TASKS = {"single": {}, "multi": {"kind": "multi"}, "bounded": {"kind": "multi", "max_labels": 2}}
SETTINGS = [
    dict(zip(("temperature", "top_p", "seed", "max_tokens"), values, strict=True))
    for values in product((None, 0, 2), (None, 0.1, 1), (None, 0, 2**63 - 1), (1, 4096))
]


FORMS = [
    RequestForm(mode, logprobs=logprobs, limit=limit, temperature=temperature, strict=strict)
    for mode, logprobs, limit, temperature, strict in product(
        MODES, (True, False), (*LIMITS, None), (True, False), (True, False)
    )
]


def problems_of(sent: bytes) -> list[str]:
    """Return what is wrong with a body, which our own servers take as well."""
    body: dict[str, Any] = json.loads(sent)
    assert read_request(sent) == body
    return problems(body, REQUEST)


@pytest.mark.slow
@pytest.mark.parametrize("kind", TASKS)
def test_every_body_of_every_form_and_setting_is_a_valid_request(kind: str) -> None:
    chosen = settings(**TASKS[kind])
    task = Task(chosen, system_message(chosen), bytes(16), answer_schema(chosen))
    for form, sampling, again in product(FORMS, SETTINGS, (False, True)):
        model = ModelSettings.model_validate({"name": "m", **sampling})
        ceiling = replace(form, ceiling=model.max_tokens)
        sent = BodyTemplate(task, model, ceiling).body('a "text"\n\u2028', again=again)
        assert problems_of(sent) == [], (form, sampling)


@pytest.mark.parametrize("effort", EFFORTS)
def test_every_effort_of_reasoning_is_a_valid_request(effort: str) -> None:
    chosen = settings()
    task = Task(chosen, system_message(chosen), bytes(16), answer_schema(chosen))
    form = RequestForm("json_schema", logprobs=False, effort=effort)
    model = ModelSettings.model_validate({"name": "m"})
    assert problems_of(BodyTemplate(task, model, form).body("text")) == []
