"""Copies of selected rows: made once, the same job again, and bounded in number."""

from pathlib import Path

from tests.jobs import JobFiles, command, last_line, texts


def copies(job: JobFiles) -> list[str]:
    return sorted(path.name.rpartition("-")[0] for path in job.folder.glob("state/runs/*/*-*.parquet"))


def test_of_one_selection_the_copy_of_the_newest_input_stays(job: JobFiles) -> None:
    for night in range(3):
        job.table(texts(10 + night))
        assert job.run("--limit", "4", "--quiet").returncode == 0
        assert copies(job) == ["limit-4"]


def test_the_selections_that_were_used_last_keep_their_copies(job: JobFiles) -> None:
    job.table(texts(20))
    for rows in range(1, 8):
        assert job.run("--limit", str(rows), "--quiet").returncode == 0
    assert copies(job) == [f"limit-{rows}" for rows in range(3, 8)]
    job.run("--limit", "3", "--quiet")
    job.run("--sample", "3", "--seed", "-5", "--quiet")
    assert copies(job) == ["limit-3", "limit-5", "limit-6", "limit-7", "sample-3--5"]


def test_a_copy_that_was_removed_is_made_again_for_the_same_job(job: JobFiles) -> None:
    job.table(texts(20))
    first = last_line(job.run("--limit", "4", "--quiet"))
    for path in job.folder.glob("state/runs/*/limit-4-*.parquet"):
        path.unlink()
    again = last_line(job.run("--limit", "4", "--quiet"))
    assert (again["run_id"], again["again"]) == (first["run_id"], True)


def test_a_plan_of_some_rows_leaves_no_copy(job: JobFiles) -> None:
    job.table(texts(20))
    assert last_line(command("plan", str(job.config_file()), "--limit", "4"))["rows"] == 4
    assert copies(job) == []
    assert not Path(job.folder / "state").exists()
