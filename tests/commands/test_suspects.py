"""What `review` and the report suspect to be mislabelled, and what they say where they cannot tell."""

import csv
import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from pipeline.commands import suspects
from pipeline.commands.answered import AnsweredRows, answered_rows, readable
from pipeline.outputs.columns import STUDENT
from tests.faultserver.server import FaultServer
from tests.jobs import JobFiles, command, last_line
from tests.judged import Reply, answer_rows, jobs_without_server
from tests.wordy import LABELS, wordy_rows

ROWS = 2_000


def spoiled_job(folder: Path, rows: int = ROWS) -> tuple[JobFiles, set[int], list[str]]:
    """A job whose model was wrong in every tenth row, the numbers of those rows, and the right labels."""
    texts, right = wordy_rows(rows)
    wrong = set(np.random.default_rng(3).choice(rows, rows // 10, replace=False).tolist())
    given = [LABELS[LABELS.index(name) - 1] if row in wrong else name for row, name in enumerate(right)]
    job = jobs_without_server(folder)
    job.table(pl.DataFrame({"id": [f"T-{row}" for row in range(rows)], "text": texts}))
    answer_rows(job, [Reply(name) for name in given])
    return job, wrong, right


@pytest.mark.slow
def test_review_writes_the_suspects_to_a_file_with_what_they_are_rather_and_a_like_row(
    tmp_path: Path,
) -> None:
    job, wrong, right = spoiled_job(tmp_path)
    ran = command("review", str(job.config_file()), "--top", "100", "--csv", str(tmp_path / "look.csv"))
    assert ran.returncode == 0, ran.stderr
    assert "Probably mislabelled" in ran.stderr
    rows = list(csv.DictReader((tmp_path / "look.csv").read_text("utf-8-sig").splitlines()))
    assert len(rows) == 100
    assert sum(int(row["row"]) in wrong for row in rows) >= 80
    assert sum(row["proposed"] == right[int(row["row"])] for row in rows) >= 75
    assert all(row["near_text"] and row["near_label"] != row["label"] != row["proposed"] for row in rows)
    found = last_line(ran)["suspects"]
    assert [each["seen"]["row"] for each in found["rows"]] == [int(row["row"]) for row in rows]
    assert (found["looked_at"], found["note"]) == (ROWS, None)


@pytest.mark.slow
def test_of_a_larger_table_rows_at_random_are_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suspects, "LEAST_ROWS", 100)
    monkeypatch.setattr(suspects, "MOST_ROWS", 500)
    job, _, _ = spoiled_job(tmp_path)
    found = last_line(command("review", str(job.config_file())))["suspects"]
    assert found["note"] == f"of {ROWS:,} answered prompts, 500 at random were looked at"
    rows = [each["seen"]["row"] for each in found["rows"]]
    assert min(rows) < ROWS // 4 < 3 * ROWS // 4 < max(rows)


def test_few_answers_are_not_judged_by_each_other(tmp_path: Path) -> None:
    job, _, _ = spoiled_job(tmp_path, 60)
    ran = command("review", str(job.config_file()))
    assert "probably mislabelled rows are not looked for: it takes 500 answered prompts" in ran.stderr
    assert last_line(ran)["suspects"]["rows"] == []


def test_without_the_extra_review_says_what_it_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job, _, _ = spoiled_job(tmp_path, 60)
    there = importlib.util.find_spec
    monkeypatch.setattr(
        suspects, "find_spec", lambda name: None if name == "sklearn" else there(name), raising=True
    )
    ran = command("review", str(job.config_file()))
    assert ran.returncode == 0
    assert "pip install 'nano-pipeline[student]'" in ran.stderr


@pytest.mark.slow
def test_what_a_student_has_said_is_neither_learned_nor_suspected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suspects, "LEAST_ROWS", 30)
    job, _, _ = spoiled_job(tmp_path, 80)
    with readable(job.config()) as made:
        search = suspects.Search(made, 80)
        for part in answered_rows(made):
            search.add(_of_a_student(part, 40))
    found = search.found()
    assert found.looked_at == 40
    assert min(each.seen.row for each in found.rows) >= 40


def _of_a_student(part: AnsweredRows, rows: int) -> AnsweredRows:
    answers = [
        answer._replace(model=STUDENT) if answer and row < rows else answer
        for row, answer in zip(part.rows, part.answers, strict=True)
    ]
    return part._replace(answers=answers)


@pytest.mark.slow
def test_a_report_that_is_asked_for_shows_suspects_and_a_run_does_not_wait_for_them(tmp_path: Path) -> None:
    texts, right = wordy_rows(600)
    given = dict(zip(texts, [*right[1:], right[0]], strict=True)) | dict(
        zip(texts[60:], right[60:], strict=True)
    )
    with FaultServer(label_for=given.__getitem__) as server:
        job = JobFiles(tmp_path, server.base_url).set(output={"report": True})
        job.table(texts)
        assert job.run().returncode == 0
        page = next(tmp_path.glob("state/runs/*/report.html"))
        assert _suspects(page) is None
        assert "Probably mislabelled" not in page.read_text()
        before = len(server.entries)
        assert command("report", str(job.config_file())).returncode == 0
        assert len(server.entries) == before
    found = _suspects(page)
    assert found is not None
    assert found["looked_at"] == 600
    assert sum(each["row"] < 60 for each in found["rows"][:20]) > 10
    assert "Probably mislabelled" in page.read_text()


def _suspects(page: Path) -> dict[str, Any] | None:
    found: dict[str, Any] | None = json.loads(page.with_suffix(".json").read_bytes())["suspects"]
    return found
