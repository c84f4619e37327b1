"""Every body that can be sent is valid against the published specification of a request."""

import json
from itertools import product
from typing import Any

import pytest

from pipeline.config import ModelSettings
from pipeline.llm.protocol.body import MODES, BodyTemplate, RequestFormat
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


@pytest.mark.parametrize("kind", TASKS)
def test_every_body_of_every_form_and_setting_is_a_valid_request(kind: str) -> None:
    chosen = settings(**TASKS[kind])
    task = Task(chosen, system_message(chosen), bytes(16), answer_schema(chosen))
    for mode, logprobs, sampling, again in product(MODES, (True, False), SETTINGS, (False, True)):
        model = ModelSettings.model_validate({"name": "m", **sampling})
        form = RequestFormat(mode, logprobs=logprobs)
        sent = BodyTemplate(task, model, form).body('a "text"\n\u2028', again=again)
        body: dict[str, Any] = json.loads(sent)
        assert problems(body, REQUEST) == [], (form, sampling)
        assert read_request(sent) == body
