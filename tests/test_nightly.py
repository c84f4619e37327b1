"""Night after night, as cron starts it: a bare environment, dated outputs, a log, metrics, a health check."""

import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import polars as pl
import pytest
from prometheus_client.parser import text_string_to_metric_families

import pipeline
import pipeline.start
from jobs import JobFiles, asked, last_line, right_label, texts
from pipeline import logfile
from pipeline.endpoints.simulator import Simulator
from pipeline.outputs.place import reserved
from pipeline.show.metrics import MetricsFile

ROOT = Path(__file__).parent.parent
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
    assert ("info", None, 100) in ends
    assert ends[-1] == ("error", 69, None)
    assert all(line["job"] == "job" and isinstance(line["pid"], int) for line in lines)
    assert (nightly.folder / "state/log.jsonl").stat().st_mode & 0o777 == 0o600


def test_a_log_file_that_has_grown_is_put_away_and_five_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logfile, "LARGEST_BYTES", 1)
    path = tmp_path / "log.jsonl"
    for night in range(8):
        with logfile.kept(path, night=night) as log:
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
    with logfile.kept(tmp_path / "log.jsonl") as log:
        log.info("one")
        log.info("two")
    assert capsys.readouterr().err.count("No space left on device") == 1


def test_somebody_elses_logging_is_left_as_it_was(nightly: JobFiles) -> None:
    before = list(logging.getLogger("pipeline").handlers)
    with logfile.kept(nightly.folder / "log.jsonl"):
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


# The health check


class Pinged(ThreadingHTTPServer):
    """Takes pings; hangs or fails if it is told to."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.pings: list[tuple[str, str]] = []
        self.hangs, self.closing = threading.Event(), threading.Event()
        self.status = 200

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/ping/7f3d-secret-uuid"


class _Handler(BaseHTTPRequestHandler):
    server: Pinged

    def do_POST(self) -> None:
        text = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.server.pings.append((self.path.removeprefix("/ping/7f3d-secret-uuid"), text))
        if self.server.hangs.is_set():
            self.server.closing.wait(60)
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def pinged() -> Iterator[Pinged]:
    with Pinged() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.closing.set()
        server.shutdown()
        thread.join()


def test_a_good_night_is_pinged_at_its_start_and_its_end(nightly: JobFiles, pinged: Pinged) -> None:
    nightly.set(notify={"healthcheck_url": "${CHECK_URL}"})
    done = nightly.run("--quiet", env={"CHECK_URL": pinged.url})
    assert (done.returncode, done.stderr) == (0, "")
    assert [place for place, _ in pinged.pings] == ["/start", ""]
    assert pinged.pings[1][1].endswith("\n100 rows, 100 labelled, 0 failed; 100 requests")
    nightly.run("--quiet", env={"CHECK_URL": pinged.url})
    assert [place for place, _ in pinged.pings[2:]] == [""]


def test_a_bad_night_is_pinged_as_failed_with_the_end_of_the_log(nightly: JobFiles, pinged: Pinged) -> None:
    nightly.set(
        notify={"healthcheck_url": pinged.url},
        model={"base_url": "http://127.0.0.1:9/v1"},
        limits={"max_outage": "0.2s"},
    )
    assert nightly.run("--quiet").returncode == 69
    assert [place for place, _ in pinged.pings] == ["/start", "/fail"]
    assert "limits.max_outage" in pinged.pings[-1][1]


def test_what_is_wrong_before_a_run_begins_is_pinged_as_failed(nightly: JobFiles, pinged: Pinged) -> None:
    nightly.set(notify={"healthcheck_url": pinged.url})
    (nightly.folder / "in.parquet").unlink()
    assert nightly.run("--quiet").returncode == 66
    assert [place for place, _ in pinged.pings] == ["/fail"]


def test_a_run_that_gives_way_to_another_pings_nobody(nightly: JobFiles, pinged: Pinged) -> None:
    nightly.set(notify={"healthcheck_url": pinged.url})
    config = nightly.config()
    with pipeline.start.started(config, pipeline.RunOptions()):
        done = nightly.run("--quiet")
    assert (done.returncode, pinged.pings) == (75, [])


def test_a_health_check_that_fails_is_warned_of_without_its_address(
    nightly: JobFiles, pinged: Pinged
) -> None:
    pinged.status = 500
    nightly.set(notify={"healthcheck_url": pinged.url})
    done = nightly.run("--quiet")
    assert done.returncode == 0
    assert "notify.healthcheck_url: could not be told" in done.stderr
    assert "7f3d" not in done.stderr


@pytest.mark.parametrize("ends", [0, 69])
def test_a_health_check_that_hangs_is_given_up_and_warned_of(
    nightly: JobFiles, pinged: Pinged, ends: int
) -> None:
    pinged.hangs.set()
    nightly.set(notify={"healthcheck_url": pinged.url}, limits={"max_outage": "0.2s"})
    if ends:
        nightly.set(model={"base_url": "http://127.0.0.1:9/v1"})
    begun = time.monotonic()
    done = nightly.run("--quiet")
    assert time.monotonic() - begun < 30  # the health check hangs for a minute
    assert done.returncode == ends
    assert "notify.healthcheck_url: did not answer in time" in done.stderr


def test_a_rehearsal_and_a_part_of_the_rows_ping_nobody(nightly: JobFiles, pinged: Pinged) -> None:
    nightly.set(notify={"healthcheck_url": pinged.url})
    assert nightly.run("--limit", "3").returncode == 0
    nightly.set(simulate={"latency": 0})
    assert nightly.run("--provider", "simulate").returncode == 0
    assert pinged.pings == []


def test_a_run_that_loses_its_lock_after_it_began_is_pinged_as_failed(
    nightly: JobFiles, pinged: Pinged, tmp_path: Path
) -> None:
    nightly.set(notify={"healthcheck_url": pinged.url})
    with pipeline.start.started(nightly.config(), pipeline.RunOptions()), reserved(nightly.output):
        nightly.set(state={"dir": str(tmp_path / "another")})
        assert nightly.run("--quiet").returncode == 75
    assert [place for place, _ in pinged.pings] == ["/start", "/fail"]


@pytest.mark.parametrize(
    "url",
    [
        "ftp://x/y",
        "https://me:secret@hc/x",
        "hc-ping.com/x",
        "https:///x",
        "https://x y/z",
        "http://h:99999/",
    ],
)
def test_an_address_that_cannot_be_pinged_is_a_config_error(nightly: JobFiles, url: str) -> None:
    nightly.set(notify={"healthcheck_url": url})
    done = nightly.run()
    assert done.returncode == 78
    assert "notify.healthcheck_url" in done.stderr
    assert url not in done.stderr
