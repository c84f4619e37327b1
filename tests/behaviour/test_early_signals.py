"""A signal before the first request ends a run as gently as one after it, whatever it is doing then."""

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.faultserver.server import FaultServer
from tests.jobs import JobFiles, environment, last_line, texts

WHEN = """
import os, runpy, signal, sys
number, event, name, *arguments = sys.argv[1:]
def hook(happens, facts):
    global event
    if happens == event and str(facts[0]).endswith(name):
        event = None
        os.kill(os.getpid(), int(number))
signal.signal(signal.SIGHUP, signal.SIG_DFL)
sys.addaudithook(hook)
sys.argv = ["pipeline", *arguments]
runpy.run_module("pipeline", run_name="__main__", alter_sys=True)
"""
"""Runs `python -m pipeline`, which gets a signal amid an import, or as it opens a file."""


class _Ping(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.places.append(self.path)  # type: ignore[attr-defined]
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def check() -> Iterator[ThreadingHTTPServer]:
    """A health check that keeps the places that were pinged, in `places`."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Ping) as server:
        server.places = []  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGTERM,
        pytest.param(signal.SIGHUP, marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize(
    ("event", "name", "pings"),
    [
        ("import", "typer", []),
        pytest.param("import", "pydantic", [], marks=pytest.mark.slow),
        ("open", "job.yaml", []),
        ("open", "in.csv", ["/fail"]),
        ("open", ".tmp", ["/fail"]),
        ("import", "aiohttp", ["/start", "/fail"]),
    ],
)
def test_a_signal_before_the_first_request_is_a_gentle_stop(
    job: JobFiles,
    server: FaultServer,
    check: ThreadingHTTPServer,
    number: signal.Signals,
    event: str,
    name: str,
    pings: list[str],
) -> None:
    job.table(texts(50), "in.csv")
    job.set(notify={"healthcheck_url": f"http://127.0.0.1:{check.server_address[1]}"})
    done = subprocess.run(
        [sys.executable, "-c", WHEN, str(int(number)), event, name, "run", str(job.config_file()), "--quiet"],
        env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 75, done.stderr
    assert done.stderr == f"error: stopped by {number.name}; run the same command again to continue\n"
    assert last_line(done)["status"] == "interrupted"
    assert last_line(done)["exit_status"] == 75
    assert check.places == pings  # type: ignore[attr-defined]
    assert server.requests == 0
    assert list(job.folder.glob("state/runs/*/input/.*")) == []
    assert job.run("--quiet").returncode == 0
