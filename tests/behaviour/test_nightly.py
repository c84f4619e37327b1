"""Night after night, as cron starts it: a bare environment, dated outputs, a log."""

import json
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

import pipeline
from tests.faultserver.server import FaultServer
from tests.jobs import JobFiles, asked, last_line, right_label, texts

ROOT = Path(__file__).parents[2]
DATED = {"output": {"path": "out/${now:%Y-%m-%d}.parquet"}}


@pytest.fixture
def nightly(job: JobFiles) -> JobFiles:
    job.table(texts(100))
    return job


def bare(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command as cron does: no HOME, no LANG, and the root as working directory."""
    return subprocess.run(
        [sys.executable, "-m", "pipeline", *arguments],
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)}, cwd="/", capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_in_crons_environment_it_prints_its_json_line_and_nothing_else_twice(
    nightly: JobFiles, server: FaultServer
) -> None:
    for requests in (100, 0):
        done = bare("run", str(nightly.config_file()), "--quiet")
        assert (done.returncode, done.stderr, done.stdout.count("\n")) == (0, "", 1)
        assert last_line(done)["requests"] == requests
    assert len(asked(server)) == 100


def test_three_nights_with_new_rows_ask_only_for_these_into_dated_outputs(
    job: JobFiles, server: FaultServer
) -> None:
    job.set(**DATED)
    for night in range(3):
        job.table(texts(100 + 10 * night))
        done = job.run("--quiet", "--date", f"2026-01-0{night + 1}")
        assert last_line(done)["requests"] == (10 if night else 100)
    outputs = sorted(path.name for path in (job.folder / "out").iterdir())
    assert outputs == ["2026-01-01.parquet", "2026-01-02.parquet", "2026-01-03.parquet"]
    last = pl.read_parquet(job.folder / "out/2026-01-03.parquet")
    assert last["label"].to_list() == [right_label(text) for text in texts(120)]
    assert server.repeats() == {}


def test_a_night_that_was_missed_heals_itself(job: JobFiles, server: FaultServer) -> None:
    job.table(texts(50))
    assert job.run("--quiet").returncode == 0
    job.table(texts(70))  # nobody ran that night
    job.table(texts(90))
    assert last_line(job.run("--quiet"))["requests"] == 40
    assert server.repeats() == {}


@pytest.mark.parametrize("date", ["yesterday", "2026-13-01", ""])
def test_a_date_that_is_none_is_a_usage_error(nightly: JobFiles, date: str) -> None:
    done = nightly.run("--date", date)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "--date" in done.stderr


def test_the_python_interface_takes_the_moment_too(nightly: JobFiles) -> None:
    from datetime import datetime  # noqa: PLC0415

    nightly.set(**DATED)
    config = pipeline.load_config(nightly.config_file(), now=datetime(2025, 12, 31).astimezone())
    assert config.output.path.name == "2025-12-31.parquet"


# The log file


def log_lines(job: JobFiles) -> list[dict[str, object]]:
    return [json.loads(line) for line in (job.folder / "state/log.jsonl").read_text().splitlines()]


def test_the_log_file_tells_of_each_run_and_is_for_the_owners_eyes(nightly: JobFiles) -> None:
    nightly.run("--quiet")
    nightly.set(model={"base_url": "http://127.0.0.1:9/v1"}, limits={"max_outage": "0.2s"})
    nightly.table(texts(101))
    assert nightly.run("--quiet").returncode == 69
    lines = log_lines(nightly)
    ends = [(line["level"], line.get("exit_status"), line.get("requests")) for line in lines]
    assert ends[0] == ("info", None, None)
    assert ("info", 0, 100) in ends
    assert ends[-1] == ("error", 69, None)
    assert all(line["job"] == "job" and isinstance(line["pid"], int) for line in lines)
    assert (nightly.folder / "state/log.jsonl").stat().st_mode & 0o777 == 0o600


def test_a_log_file_that_cannot_be_written_is_told_once_and_the_run_goes_on(nightly: JobFiles) -> None:
    (nightly.folder / "state").mkdir(mode=0o700)
    (nightly.folder / "state/log.jsonl").symlink_to("/dev/full")
    done = nightly.run("--quiet")
    assert done.returncode == 0
    assert done.stderr.count("is not written any more") == done.stderr.count("\n") == 1
