"""Which row `explain` explains."""

import orjson
import polars as pl
import pytest

from pipeline.commands.explain import explain
from pipeline.errors import UsageError
from tests.jobs import JobFiles, command, texts


@pytest.mark.parametrize(("row", "complaint"), [("30", "row 30 does not exist"), ("x", "is not a row index")])
def test_a_row_that_is_not_there_is_wrong_usage(job: JobFiles, row: str, complaint: str) -> None:
    job.table(texts(30))
    with pytest.raises(UsageError, match=complaint):
        explain(job.config(), row)


def test_a_row_is_found_by_its_id(job: JobFiles) -> None:
    job.table(pl.DataFrame({"id": ["007", "1"], "text": texts(2)}))
    job.set(input={"id": "id"})
    assert explain(job.config(), "1").row == 1
    prompt = explain(job.config(), "007").prompt
    assert prompt is not None
    assert prompt.text == texts(1)[0]


def test_a_row_without_an_answer_says_why(job: JobFiles) -> None:
    job.table(["some text", ""])
    assert explain(job.config(), "0").as_dict()["status"] == "not asked yet"
    assert explain(job.config(), "1").as_dict()["status"] == "empty"
    job.run("--quiet")
    assert explain(job.config(), "0").as_dict()["status"] == "ok"


def test_an_answer_under_other_settings_is_found_and_says_under_which(job: JobFiles) -> None:
    job.table(texts(3))
    assert job.run("--quiet", "--limit", "2").returncode == 0
    job.set(task={"instructions": "Something else.", "max_text_tokens": 500}, model={"name": "another-model"})
    found = explain(job.config(), "1").as_dict()
    assert (found["status"], found["answered_under"]["model"]) == ("ok", "test-model")
    assert found["answered_under"]["output"].endswith("labelled.limit-2.parquet")
    said = command("explain", str(job.config_file()), "1").stderr
    assert f"answered under run {found['run']} (provider openai-compatible, model test-model)" in said
    assert explain(job.config(), "2").as_dict()["status"] == "not asked yet"


def test_the_answer_of_a_rehearsal_is_found_if_there_is_no_real_one(job: JobFiles) -> None:
    job.table(texts(3))
    assert (
        job.run("--quiet", "--set", "model.provider=simulate", "--set", "simulate.latency=0").returncode == 0
    )
    assert explain(job.config(), "1").as_dict()["answered_under"]["provider"] == "simulate"
    assert job.run("--quiet").returncode == 0
    assert explain(job.config(), "1").as_dict()["answered_under"] is None


def test_a_run_whose_text_the_input_cannot_give_any_more_is_passed_over(job: JobFiles) -> None:
    job.table(pl.DataFrame({"text": texts(3), "more": texts(3, 3)}))
    job.set(task={"text": "{text} {more}"})
    assert job.run("--quiet").returncode == 0
    job.table(texts(3))
    job.set(task={"text": "{text}"})
    assert explain(job.config(), "1").as_dict()["status"] == "not asked yet"


def test_records_of_older_versions_tell_nothing_and_harm_nothing(job: JobFiles) -> None:
    job.table(texts(3))
    assert job.run("--quiet").returncode == 0
    (record,) = job.folder.glob("state/runs/*/run.json")
    facts = orjson.loads(record.read_bytes())
    del facts["job"]
    record.write_bytes(orjson.dumps(facts))
    job.set(model={"name": "another-model"})
    assert explain(job.config(), "1").as_dict()["status"] == "not asked yet"
