"""Which settings make every row another question: those that are part of the key, and no others."""

from pathlib import Path
from typing import Any

import pytest

from pipeline.commands.diff.wording import wording
from pipeline.tasks.prompt import Task
from tests.jobs import texts
from tests.judged import jobs_without_server


@pytest.mark.parametrize(
    ("before", "after", "named"),
    [
        ({"rows_per_request": 5}, {"rows_per_request": 10}, []),
        ({"rows_per_request": 1}, {"rows_per_request": 10}, ["model.rows_per_request"]),
        ({"parameters": {"user": "a"}}, {"parameters": {"user": "b"}}, []),
        ({"parameters": {"min_p": 0.1}}, {"parameters": {"min_p": 0.2}}, ["model.parameters"]),
        ({"temperature": 0}, {"temperature": 0.5}, ["model.temperature"]),
        ({"max_tokens": 32}, {"max_tokens": 64}, []),
    ],
)
def test_a_setting_is_named_if_and_only_if_the_question_is_another(
    tmp_path: Path, before: dict[str, Any], after: dict[str, Any], named: list[str]
) -> None:
    job = jobs_without_server(tmp_path)
    job.table(texts(5))
    old, new = job.set(model=before).config(), job.set(model=after).config()
    assert wording(old, new) == named
    assert (Task.from_config(old).fingerprint != Task.from_config(new).fingerprint) is bool(named)
