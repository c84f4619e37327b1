"""Night after night, as cron starts it: a bare environment, dated outputs, a log, metrics, a health check."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from prometheus_client.parser import text_string_to_metric_families

import pipeline
from pipeline.servers.simulator.server import Simulator
from pipeline.telemetry import logfile
from pipeline.telemetry.prometheus import MetricsFile
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
    nightly: JobFiles, server: Simulator
) -> None:
    for requests in (100, 0):
        done = bare("run", str(nightly.config_file()), "--quiet")
        assert (done.returncode, done.stderr, done.stdout.count("\n")) == (0, "", 1)
        assert last_line(done)["requests"] == requests
    assert len(asked(server)) == 100


def test_three_nights_with_new_rows_ask_only_for_these_into_dated_outputs(
    job: JobFiles, server: Simulator
) -> None:
    job.set(**DATED)
    for night in range(3):
        job.table(texts(1000 + 10 * night))
        done = job.run("--quiet", "--date", f"2026-01-0{night + 1}")
        assert last_line(done)["requests"] == (10 if night else 1000)
    outputs = sorted(path.name for path in (job.folder / "out").iterdir())
    assert outputs == ["2026-01-01.parquet", "2026-01-02.parquet", "2026-01-03.parquet"]
    last = pl.read_parquet(job.folder / "out/2026-01-03.parquet")
    assert last["label"].to_list() == [right_label(text) for text in texts(1020)]
    assert server.repeats() == {}


def test_a_night_that_was_missed_heals_itself(job: JobFiles, server: Simulator) -> None:
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


def test_a_log_file_that_has_grown_is_put_away_and_five_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logfile, "MAX_BYTES", 1)
    path = tmp_path / "log.jsonl"
    for night in range(8):
        with logfile.log_file(path, night=night) as log:
            log.info("begins")
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["log.jsonl", *(f"log.jsonl.{number}" for number in range(1, 6))]
    assert [json.loads(file.read_text())["night"] for file in files] == [7, 6, 5, 4, 3, 2]


def test_a_log_file_that_cannot_be_written_is_told_once_and_the_run_goes_on(nightly: JobFiles) -> None:
    (nightly.folder / "state").mkdir(mode=0o700)
    (nightly.folder / "state/log.jsonl").symlink_to("/dev/full")
    done = nightly.run("--quiet")
    assert done.returncode == 0
    assert done.stderr.count("is not written any more") == done.stderr.count("\n") == 1


def test_a_disk_that_fills_while_the_log_is_written_is_told_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logfile, "_private", lambda _path, flags: os.open("/dev/full", flags))
    with logfile.log_file(tmp_path / "log.jsonl") as log:
        log.info("one")
        log.info("two")
    assert capsys.readouterr().err.count("No space left on device") == 1


def test_somebody_elses_logging_is_left_as_it_was(nightly: JobFiles) -> None:
    before = list(logging.getLogger("pipeline").handlers)
    with logfile.log_file(nightly.folder / "log.jsonl"):
        pass
    assert logging.getLogger("pipeline").handlers == before


# Metrics


def metrics(path: Path) -> dict[str, float]:
    """What prometheus-client's own parser reads: values by name, and by the label that is not the job's."""
    found = {}
    for family in text_string_to_metric_families(path.read_text()):
        assert family.documentation
        for sample in family.samples:
            assert sample.labels.pop("config").endswith("/job.yaml")
            found[" ".join([sample.name, *sample.labels.values()])] = sample.value
    return found


def test_the_metrics_file_says_what_the_result_says(nightly: JobFiles, tmp_path: Path) -> None:
    file = tmp_path / "tags.prom"
    nightly.set(model={"price": {"input": 1, "output": 2}})
    result = last_line(nightly.run("--quiet", "--metrics-file", str(file)))
    found = metrics(file)
    assert found["pipeline_rows ok"] == result["ok"] == 100
    assert found["pipeline_rows error"] == 0
    for name in ("requests", "retries", "throttled", "cost_usd"):
        assert found[f"pipeline_{name}"] == result[name]
    assert found["pipeline_tokens prompt"] == result["prompt_tokens"] > 0
    assert found["pipeline_run_exit_status"] == 0
    assert found["pipeline_last_success_timestamp_seconds"] == found["pipeline_run_end_timestamp_seconds"]


def test_a_night_that_fails_keeps_what_is_known_of_the_last_good_one(
    nightly: JobFiles, tmp_path: Path
) -> None:
    file = tmp_path / "tags.prom"
    nightly.run("--metrics-file", str(file))
    good = metrics(file)
    nightly.table(texts(120))
    nightly.set(model={"base_url": "http://127.0.0.1:9/v1"}, limits={"max_outage": "0.2s"})
    assert nightly.run("--metrics-file", str(file)).returncode == 69
    bad = metrics(file)
    assert bad.pop("pipeline_run_exit_status") == 69
    assert bad.pop("pipeline_run_end_timestamp_seconds") > good.pop("pipeline_run_end_timestamp_seconds")
    assert good.pop("pipeline_run_exit_status") == 0
    assert bad == good


def test_a_job_that_had_finished_leaves_the_figures_of_the_night(nightly: JobFiles, tmp_path: Path) -> None:
    file = tmp_path / "tags.prom"
    nightly.run("--metrics-file", str(file))
    night = metrics(file)
    assert last_line(nightly.run("--metrics-file", str(file)))["again"]
    dawn = metrics(file)
    ends = {"pipeline_run_end_timestamp_seconds", "pipeline_last_success_timestamp_seconds"}
    assert {name for name in night if night[name] != dawn[name]} == ends


def test_the_figures_come_from_the_report_so_a_lost_file_is_made_again(
    nightly: JobFiles, tmp_path: Path
) -> None:
    file = tmp_path / "tags.prom"
    nightly.run("--metrics-file", str(file))
    night = metrics(file)
    file.unlink()
    nightly.run("--metrics-file", str(file))
    assert metrics(file)["pipeline_requests"] == night["pipeline_requests"] == 100


def test_a_part_of_the_rows_and_a_rehearsal_write_no_metrics(nightly: JobFiles, tmp_path: Path) -> None:
    file = tmp_path / "tags.prom"
    nightly.set(simulate={"latency": 0})
    for arguments in (["--limit", "3"], ["--sample", "3"], ["--provider", "simulate"], ["--dry-run"]):
        assert nightly.run("--metrics-file", str(file), *arguments).returncode == 0
    assert not file.exists()


def test_what_another_config_wrote_to_the_file_stays(nightly: JobFiles, tmp_path: Path) -> None:
    file = tmp_path / "tags.prom"
    MetricsFile(file, Path("/other/job.yaml")).write(0)
    nightly.run("--metrics-file", str(file))
    assert file.read_text().count("pipeline_last_success_timestamp_seconds{") == 2


def test_a_cost_that_is_no_longer_known_goes_away(nightly: JobFiles, tmp_path: Path) -> None:
    file = tmp_path / "tags.prom"
    nightly.set(model={"price": {"input": 1, "output": 2}})
    nightly.run("--metrics-file", str(file))
    assert "pipeline_cost_usd" in metrics(file)
    del nightly.settings["model"]["price"]
    nightly.table(texts(101))
    nightly.set(model={"name": "another-model"})
    assert last_line(nightly.run("--metrics-file", str(file)))["cost_usd"] is None
    assert "pipeline_cost_usd" not in metrics(file)


def test_a_config_that_is_wrong_is_in_the_metrics(nightly: JobFiles, tmp_path: Path) -> None:
    file = tmp_path / "tags.prom"
    nightly.set(limits={"max_concurency": 3})
    assert nightly.run("--metrics-file", str(file)).returncode == 78
    assert metrics(file)["pipeline_run_exit_status"] == 78


def test_a_report_that_is_gone_costs_a_warning(
    nightly: JobFiles, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    result = pipeline.run(nightly.config())
    Path(result.report).unlink()
    MetricsFile(tmp_path / "tags.prom", nightly.config_file()).write(0, result)
    assert "--metrics-file" in caplog.text


def test_a_metrics_file_that_nobody_would_read_is_a_usage_error(nightly: JobFiles) -> None:
    assert nightly.run("--metrics-file", "tags.txt").returncode == 2


def test_a_metrics_file_that_cannot_be_written_is_found_before_the_first_request(
    nightly: JobFiles, server: Simulator
) -> None:
    done = nightly.run("--metrics-file", "/nowhere/tags.prom")
    assert (done.returncode, server.requests) == (73, 0)
    assert "--metrics-file" in done.stderr
