"""Which row `explain` explains."""

import polars as pl
import pytest

from pipeline.commands.explain import explain
from pipeline.errors import UsageError
from tests.jobs import JobFiles, texts


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
