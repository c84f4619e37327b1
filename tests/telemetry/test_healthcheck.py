"""A health check is pinged when a run begins and ends, and no run waits for it, fails by it or tells it to others."""

import json
import logging
import signal
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import pipeline
import pipeline.job.prepare
from pipeline.outputs.destination import reserved
from pipeline.telemetry.progress import Silent
from tests.faultserver.server import FaultServer
from tests.jobs import JobFiles, texts


@pytest.fixture
def nightly(job: JobFiles) -> JobFiles:
    job.table(texts(100))
    return job


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
        self.send_header("Location", "/ping/7f3d-secret-uuid/elsewhere")
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


def test_a_night_with_too_many_failed_rows_is_an_error_in_the_log_and_in_the_ping(
    nightly: JobFiles, server: FaultServer, pinged: Pinged
) -> None:
    server.when(lambda text: text in texts(20, start=50), "context_length")
    nightly.set(notify={"healthcheck_url": pinged.url})
    assert nightly.run("--quiet").returncode == 1
    last = json.loads((nightly.folder / "state/log.jsonl").read_text().splitlines()[-1])
    assert (last["level"], last["exit_status"]) == ("error", 1)
    assert pinged.pings[-1][0] == "/fail"
    assert "limits.max_failed" in pinged.pings[-1][1]


def test_a_good_night_is_pinged_at_its_start_and_its_end(nightly: JobFiles, pinged: Pinged) -> None:
    nightly.set(notify={"healthcheck_url": "${CHECK_URL}"})
    done = nightly.run("--quiet", env={"CHECK_URL": pinged.url})
    assert (done.returncode, done.stderr) == (0, "")
    assert [place for place, _ in pinged.pings] == ["/start", ""]
    assert pinged.pings[1][1].endswith("\n100 rows, 100 labelled, 0 empty, 0 failed; 100 requests")
    nightly.run("--quiet", env={"CHECK_URL": pinged.url})
    assert [place for place, _ in pinged.pings[2:]] == [""]


@pytest.mark.slow
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


def test_a_ping_is_sent_to_its_address_and_nowhere_else(nightly: JobFiles, pinged: Pinged) -> None:
    pinged.status = 301
    nightly.set(notify={"healthcheck_url": pinged.url})
    done = nightly.run("--quiet")
    assert (done.returncode, "ping failed: 301" in done.stderr) == (0, True)
    assert {place for place, _ in pinged.pings} == {"/start", ""}


@pytest.mark.slow
def test_a_signal_while_the_last_ping_hangs_is_no_failure(nightly: JobFiles, pinged: Pinged) -> None:
    pinged.hangs.set()
    nightly.set(notify={"healthcheck_url": pinged.url})
    process = nightly.start("--quiet")
    while len(pinged.pings) < 2:  # the second one tells that the run is over
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=60)
    assert (process.returncode, json.loads(out)["status"]) == (0, "done")


def test_a_run_that_gives_way_to_another_pings_nobody(nightly: JobFiles, pinged: Pinged) -> None:
    nightly.set(notify={"healthcheck_url": pinged.url})
    config = nightly.config()
    with pipeline.job.prepare.started(config, pipeline.RunOptions()):
        done = nightly.run("--quiet")
    assert (done.returncode, pinged.pings) == (75, [])


def test_a_health_check_that_fails_is_warned_of_without_its_address(
    nightly: JobFiles, pinged: Pinged
) -> None:
    pinged.status = 500
    nightly.set(notify={"healthcheck_url": pinged.url})
    done = nightly.run("--quiet")
    assert done.returncode == 0
    assert "notify.healthcheck_url: ping failed" in done.stderr
    assert "7f3d" not in done.stderr


@pytest.mark.parametrize("ends", [0, pytest.param(69, marks=pytest.mark.slow)])
@pytest.mark.slow
def test_a_health_check_that_hangs_is_given_up_and_warned_of(
    nightly: JobFiles, pinged: Pinged, ends: int
) -> None:
    pinged.hangs.set()
    nightly.set(notify={"healthcheck_url": pinged.url}, limits={"max_outage": "0.2s"})
    if ends:
        nightly.set(model={"base_url": "http://127.0.0.1:9/v1"})
    done = nightly.run("--quiet")
    assert done.returncode == ends
    assert "notify.healthcheck_url: no answer in time" in done.stderr


def test_without_an_address_nothing_hears_the_log_that_was_not_there_before(nightly: JobFiles) -> None:
    before = list(logging.getLogger("pipeline").handlers)
    heard = []

    class Look(Silent):
        def watching(self, look):
            heard.append(list(logging.getLogger("pipeline").handlers))
            return super().watching(look)

    pipeline.run(nightly.config(), watch=Look())
    assert heard == [before]


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
    with pipeline.job.prepare.started(nightly.config(), pipeline.RunOptions()), reserved(nightly.output):
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
