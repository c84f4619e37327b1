"""Whose fault it is: the command line's (2) or the config's (78); and that whoever started a run is told."""

import json
from pathlib import Path

import pytest

from tests.faultserver.server import FaultServer
from tests.jobs import JobFiles, command, last_line, texts


@pytest.fixture
def config(job: JobFiles) -> Path:
    job.table([*texts(6), ""])
    return job.config_file()


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--provider", "oxn"], '--provider: model.provider: "oxn" is not known; did you mean oxen?'),
        (["--set", "limits"], "--set: is no section.key=VALUE"),
        (["--set", "limits.max_concurency=1"], "--set: limits.max_concurency: is an unknown key"),
        (
            ["--set", "limits.max_concurrency=many"],
            "--set: limits.max_concurrency: many is not a whole number",
        ),
        (["--seed", "7"], "--seed: chooses the rows of --sample; give --sample N too"),
        (["--seed", "0", "--limit", "2"], "--seed: chooses the rows of --sample"),
        (["--retry", "empty"], "--retry: rows without text (empty) are never asked"),
        (
            ["--retry", "error,often"],
            "--retry: there is no status 'often'; there are ok, invalid, refused, filtered,",
        ),
    ],
)
def test_a_fault_of_the_options_ends_with_2_and_a_json_line(
    config: Path, options: list[str], complaint: str, server: FaultServer
) -> None:
    ran = command("run", str(config), *options)
    assert (ran.returncode, ran.stderr.count("\n")) == (2, 1)
    assert ran.stderr.startswith(f"error: {complaint}")
    told = last_line(ran)
    assert (told["status"], f"error: {told['error']}\n") == ("error", ran.stderr)
    assert server.requests == 0


def test_what_the_parser_of_the_command_line_finds_ends_with_2_and_a_json_line_too(config: Path) -> None:
    ran = command("run", str(config), "--limit", "0")
    assert ran.returncode == 2
    assert "--limit" in last_line(ran)["error"]
    assert (last_line(ran)["status"], last_line(ran)["exit_status"]) == ("error", 2)


@pytest.mark.parametrize(
    "named",
    [
        "run",
        "check",
        "plan",
        "probe",
        "status",
        "explain CONFIG 0",
        "ledger stats",
        "ledger export CONFIG x.parquet",
    ],
)
def test_every_command_that_fails_ends_with_a_json_line(tmp_path: Path, named: str) -> None:
    before, _, after = named.partition(" CONFIG")
    ran = command(*before.split(), str(tmp_path / "nowhere.yaml"), *after.split())
    assert ran.returncode == 66
    told = last_line(ran)
    assert (told["status"], told["exit_status"]) == ("error", 66)
    assert ran.stderr == f"error: {told['error']}\n"


def test_plan_takes_no_seed_without_a_sample_either(config: Path) -> None:
    assert command("plan", str(config), "--seed", "7").returncode == 2
    assert command("plan", str(config), "--seed", "7", "--sample", "3").returncode == 0


@pytest.mark.usefixtures("config")
def test_with_a_fault_in_the_file_too_the_config_is_wrong(job: JobFiles) -> None:
    job.set(limits={"drain": "soon"})
    ran = command("run", str(job.config_file()), "--set", "limits.max_concurrency=many")
    assert ran.returncode == 78
    assert ran.stderr.count("\n") == 2
    assert json.loads(ran.stdout)["status"] == "error"


@pytest.mark.parametrize(("text", "status"), [("task: [", 78), ("task: {}", 78), (None, 66)])
def test_a_config_that_cannot_be_loaded_is_told_in_a_json_line(
    tmp_path: Path, text: str | None, status: int
) -> None:
    path = tmp_path / "job.yaml"
    if text is not None:
        path.write_text(text)
    ran = command("run", str(path))
    assert ran.returncode == status
    told = last_line(ran)
    assert told["status"] == "error"
    assert told["error"] in ran.stderr


@pytest.mark.usefixtures("config")
def test_where_all_is_reused_there_is_nothing_to_pay(job: JobFiles) -> None:
    first = job.run()
    assert "no price known" in first.stderr
    job.output.unlink()
    again = job.run()
    assert last_line(again)["requests"] == 0
    assert "nothing to pay" in again.stderr
    assert "no price known" not in again.stderr


def test_the_counts_of_a_run_add_up_to_the_rows_of_the_input(job: JobFiles, server: FaultServer) -> None:
    server.when(lambda text: text in texts(2, start=5), "refusal")
    job.set(limits={"max_failed": "100%"})
    job.table(texts(4))
    job.run()
    # Four that are reused, a blank and a missing one, a repeated one; six are asked about, two of them in vain.
    rows = [*texts(4), "  ", *texts(6, start=4), None, texts(5)[4], ""]
    job.table(rows)
    ran = job.run()
    told = last_line(ran)
    assert told["rows"] == len(rows) == told["ok"] + told["failed"] + told["empty"]
    assert (told["ok"], told["failed"], told["empty"]) == (9, 2, 3)
    asked_now = told["rows"] - told["empty"] - told["reused"] - told["duplicates"]
    assert (told["reused"], told["duplicates"], asked_now) == (4, 1, 6)
    assert asked_now == told["requests"] - told["retries"]
    assert "14 rows: 9 labelled, 3 empty, 2 failed" in ran.stderr
    again = last_line(job.run())
    assert again["rows"] == again["ok"] + again["failed"] + again["empty"]
    statuses = json.loads(Path(told["report"]).read_text())["statuses"]
    assert (statuses["empty"], sum(statuses.values())) == (3, 14)
