"""How a run ends, for people: its rows, its labels, and where they are."""

import dataclasses
import json
from pathlib import Path

import pytest

from pipeline.cli.run.closing import closing_lines, evaluation_lines, label_lines
from pipeline.telemetry.summary import RunResult
from tests.jobs import JobFiles

RESULT = RunResult(
    run_id="run-1", status="done", rows=600, ok=598, failed=0, empty=2, reused=0, duplicates=2, requests=599, retries=3,
    throttled=0, prompt_tokens=1000, cached_tokens=0, completion_tokens=100, cost_usd=0.0143, cost_source="catalog",
    seconds=12.0, output="/elsewhere/out.parquet", report="/nowhere/report.json",
)  # fmt: skip


@pytest.fixture
def job(tmp_path: Path) -> JobFiles:
    return JobFiles(tmp_path, "http://127.0.0.1:1/v1").set(task={"max_text_tokens": 100})


def closing(job: JobFiles, report: object = None, **changes: object) -> list[str]:
    path = job.folder / "report.json"
    path.write_text(report if isinstance(report, str) else json.dumps(report or {}))
    result = dataclasses.replace(RESULT, report=str(path), **changes)  # type: ignore[arg-type]
    return closing_lines(result, job.config())


def test_the_first_line_counts_all_rows_and_the_texts_that_were_cut(job: JobFiles) -> None:
    assert (
        closing(job, {"truncated": 276})[0]
        == "600 rows: 598 labelled, 2 empty, 0 failed; 276 texts cut at 100 tokens"
    )
    assert closing(job)[0] == "600 rows: 598 labelled, 2 empty, 0 failed"


def test_rows_that_are_unsure_are_labelled_and_those_that_do_not_match_are_no_rows(job: JobFiles) -> None:
    said = closing(job, {"statuses": {"ok": 580, "unsure": 18, "empty": 2, "skipped": 50}}, ok=580)[0]
    assert (
        said
        == "600 rows: 598 labelled (18 of them unsure), 2 empty, 0 failed; 50 more rows do not match input.where"
    )


def test_the_most_frequent_labels_come_first_and_the_rest_is_summed_up() -> None:
    lines = label_lines({f"label {n}": n for n in range(1, 21)}, 210)
    assert (len(lines), lines[0].split()[:5]) == (13, ["label", "20", "20", "9.5", "%"])
    assert lines[0].endswith("━" * 24)
    assert lines[-1] == "  and 8 more, 36 rows"


def test_a_label_cannot_move_the_cursor() -> None:
    assert "\x1b" not in "".join(label_lines({"\x1b[2Jgames": 3}, 3))


def test_the_bars_give_way_on_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for columns in (20, 40, 80):
        monkeypatch.setattr("pipeline.cli.run.closing.width", lambda columns=columns: columns)
        monkeypatch.setattr("pipeline.cli.tables.width", lambda columns=columns: columns)
        assert max(
            map(len, label_lines({"a label of some length": 1000, "games": 20}, 1020))
        ) < columns + 10 * (columns < 40)


def test_an_evaluation_in_the_report_is_told() -> None:
    found = {"accuracy": 0.873, "accuracy_low": 0.841, "accuracy_high": 0.9, "rows": 412}
    assert list(evaluation_lines({"evaluation": found})) == [
        "accuracy: 87.3 % (84.1 to 90.0 %) on 412 rows with gold labels"
    ]
    assert list(evaluation_lines({})) == list(evaluation_lines({"evaluation": {"accuracy": None}})) == []


@pytest.mark.parametrize("report", ["no json", "[]", ""])
def test_a_report_that_is_damaged_costs_the_labels_only(job: JobFiles, report: str) -> None:
    assert closing(job, report)[0].startswith("600 rows: 598 labelled")


def test_the_page_for_people_is_named_where_there_is_one(job: JobFiles) -> None:
    assert f"report: {job.folder}/report.json" in closing(job)
    (job.folder / "report.html").touch()
    assert f"report: {job.folder}/report.html" in closing(job)


def test_places_are_told_as_they_are_called_from_here(job: JobFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(job.folder)
    assert "output: out/x.parquet" in closing(job, output=str(job.folder / "out/x.parquet"))
    assert "output: /elsewhere/out.parquet" in closing(job)


def test_a_rehearsal_says_that_its_labels_mean_nothing(job: JobFiles) -> None:
    job.set(model={"provider": "simulate"})
    assert any("the labels mean nothing" in line for line in closing(job))


def test_a_run_that_took_no_time_has_no_speed(job: JobFiles) -> None:
    assert any(line.endswith("12 s, 50.0 rows/s") for line in closing(job))
    assert any(
        line.endswith("nothing to pay, 0 s") for line in closing(job, seconds=0.0, requests=0, cost_usd=0.0)
    )
