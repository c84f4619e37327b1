"""The result of a run as a frame, as labels and as a table in a notebook."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import pipeline
from pipeline.telemetry.summary import RunResult
from tests.jobs import JobFiles, command, last_line, right_label, texts

ROWS = [*texts(5), None]
RIGHT = [*map(right_label, texts(5)), None]


FORMATS = ["parquet", "csv", "csv.gz", "jsonl", "jsonl.gz"]


@pytest.mark.parametrize("form", FORMATS)
def test_a_result_has_its_frame_and_its_labels_in_the_order_of_the_rows(job: JobFiles, form: str) -> None:
    job.table(ROWS)
    result = pipeline.run(job.set(output={"path": f"out/rows.{form}"}).config())
    assert result.frame()["text"].to_list() == ROWS
    assert result.labels() == RIGHT


@pytest.mark.parametrize("form", FORMATS)
def test_several_labels_are_a_list_for_each_row_in_every_format(job: JobFiles, form: str) -> None:
    job.table(ROWS)
    job.set(output={"path": f"out/rows.{form}"}, task={"kind": "multi", "labels": ["a", "b"]})
    labels = pipeline.run(pipeline.load_config(job.config_file(), provider="local")).labels()
    assert labels.pop() is None
    assert all(isinstance(each, list) and set(each) <= {"a", "b"} for each in labels)


@pytest.mark.parametrize("form", ["parquet", "csv", "jsonl"])
def test_the_frame_of_a_folder_has_the_rows_of_all_its_files(job: JobFiles, form: str) -> None:
    for number in range(3):
        (job.folder / "in" / f"day={number}").mkdir(parents=True)
        job.table([f"{number}"], f"in/day={number}/rows.parquet")
    result = pipeline.run(
        job.set(input={"path": "in"}, output={"path": "out/labelled", "format": form}).config()
    )
    assert sorted(result.labels()) == sorted(right_label(f"{number}") for number in range(3))
    if form == "parquet":
        assert set(result.frame()["day"].cast(pl.String)) == {"0", "1", "2"}


def test_labels_that_look_like_numbers_stay_texts_in_csv_whatever_the_columns_prefix(job: JobFiles) -> None:
    job.table(texts(3))
    job.set(task={"labels": ["01", "02"]}, output={"path": "out/rows.csv", "columns": {"prefix": "my_"}})
    config = pipeline.load_config(job.config_file(), provider="local")
    assert set(pipeline.run(config).labels()) <= {"01", "02"}


def test_a_result_whose_output_is_gone_says_so(job: JobFiles) -> None:
    job.table(texts(1))
    result = pipeline.run(job.config())
    Path(result.output).unlink()
    with pytest.raises(pipeline.PipelineError, match="is no longer there; run again"):
        result.labels()


@pytest.fixture
def result() -> RunResult:
    counts: dict[str, Any] = dict.fromkeys(RunResult.__dataclass_fields__, 0)
    facts = {"run_id": "1", "status": "done", "cost_usd": 0.25, "cost_source": None, "again": True}
    return RunResult(**{**counts, **facts, "rows": 1234, "output": "o", "report": "r", "evaluation": None})


def test_a_notebook_shows_a_result_as_a_small_table_with_hostile_text_as_text(result: RunResult) -> None:
    shown = replace(result, output="<script>alert('x')</script>&amp;")._repr_html_()
    assert "<script>" not in shown
    assert "&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt;&amp;amp;" in shown
    assert ">1,234<" in shown
    assert ">$0.2500<" in shown
    assert "cost source" not in shown


def test_a_plan_is_shown_as_a_table_too(job: JobFiles) -> None:
    job.table(texts(3))
    shown = pipeline.plan(job.config())._repr_html_()
    assert "<caption>Plan</caption>" in shown
    assert shown.count(">3<") == 3  # rows, prompts, requests


def test_an_evaluation_is_a_field_of_a_result_and_of_the_json_line(result: RunResult) -> None:
    assert result.as_dict()["evaluation"] is None
    assert replace(result, evaluation={"accuracy": 0.9}).as_dict()["evaluation"] == {"accuracy": 0.9}


def test_the_json_line_of_a_run_has_the_field_evaluation(job: JobFiles) -> None:
    job.table(texts(1))
    assert last_line(command("run", str(job.config_file()), "--quiet"))["evaluation"] is None
