"""What slices leave behind, and what the other commands make of them."""

from pathlib import Path

import pytest

from tests.jobs import JobFiles, command, last_line, texts
from tests.slices.compare import distinct, slices, with_duplicates


def test_a_slice_that_is_done_keeps_no_copy_of_the_input(job: JobFiles, tmp_path: Path) -> None:
    job.table(texts(60), "in.csv")
    slices(job, 2)
    assert not list((tmp_path / "state").rglob("input/*.parquet"))
    again = last_line(job.run("--slice", "0/2"))
    assert (again["requests"], again["status"]) == (0, "done")
    assert command("assemble", str(job.config_file())).returncode == 0
    assert not list((tmp_path / "state").rglob("input/*.parquet"))


def test_the_plans_of_the_slices_add_up(job: JobFiles) -> None:
    rows = with_duplicates(300)
    job.table(rows)
    slices(job, 3, 1)
    plans = [last_line(job.run("--slice", f"{index}/3", "--dry-run")) for index in range(3)]
    whole = last_line(command("plan", str(job.config_file())))
    assert plans[1]["requests"] == 0
    for name in ("prompts", "answered", "requests"):
        assert sum(each[name] for each in plans) == whole[name]
    assert whole["prompts"] == distinct(rows)


def test_after_assembling_every_command_knows_the_job_as_finished(job: JobFiles) -> None:
    job.table(texts(60))
    job.set(gates={"canary_flips": "50%"}, model={"price": {"input": 1, "output": 2}})
    slices(job, 2)
    config = str(job.config_file())
    assembled = last_line(command("assemble", config))
    found = last_line(command("status", config))
    assert found["current"]
    assert found["answers"] == 60
    assert found["cost_usd"] == pytest.approx(assembled["cost_usd"])
    assert assembled["cost_usd"] > 0
    assert last_line(command("plan", config))["asked_anew"] == 0


def test_status_counts_what_an_earlier_output_has_told_once(job: JobFiles) -> None:
    job.table(texts(60))
    slices(job, 2)
    config = str(job.config_file())
    assert command("assemble", config).returncode == 0
    assert job.run("--slice", "0/2", "--retry", "ok").returncode == 0
    anew = last_line(command("assemble", config))
    found = last_line(command("status", config))
    assert found["current"]
    assert found["answers"] == anew["requests"] < 60
