"""Whoever stops listening, and wherever the log cannot be written: the run goes on, and its output is right."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.config.simulate.latency import Fixed
from tests.faultserver.server import FaultServer
from tests.faultserver.settings import FaultServerSettings
from tests.jobs import JobFiles, environment, right_label, texts
from tests.reliability.checker import violations

ROWS = 40

STREAMS = {
    "stderr closed": "2>&-",
    "both closed": ">&- 2>&-",
    "stdin closed": "<&-",
    "all closed": "<&- >&- 2>&-",
    "nobody reads stderr any more after the first line": "2> >(exec head -n1 >/dev/null)",
    "nobody reads stdout": "> >(exec true)",
    "nobody reads both": "2>&1 | head -n1 >/dev/null; exit ${PIPESTATUS[0]}",
    "a log in JSON on a full disk": "--log-format json 2>/dev/full",
}


@pytest.fixture
def wordy_server() -> Iterator[FaultServer]:
    """An endpoint that gives the run something to log in its midst: it refuses the first format of request."""
    settings = FaultServerSettings(latency=Fixed(0.005), json_schema="refused")
    with FaultServer(settings, label_for=right_label) as server:
        yield server


@pytest.mark.slow
def test_a_run_that_nobody_listens_to_is_as_right_as_any(tmp_path: Path, wordy_server: FaultServer) -> None:
    running: list[tuple[str, JobFiles, subprocess.Popen[bytes]]] = []
    for number, (name, streams) in enumerate(STREAMS.items()):
        (tmp_path / str(number)).mkdir()
        job = JobFiles(tmp_path / str(number), wordy_server.base_url)
        job.table(texts(ROWS, number * ROWS))
        script = f"{sys.executable} -m pipeline run {job.config_file()} --no-progress {streams}"
        running.append((name, job, subprocess.Popen(["bash", "-c", script], env=environment())))
    assert {name: process.wait(120) for name, _, process in running} == dict.fromkeys(STREAMS, 0)
    for number, (name, job, _) in enumerate(running):
        mine = set(texts(ROWS, number * ROWS))
        entries = [entry for entry in wordy_server.entries if entry.text in mine]
        assert violations(job, entries) == [], name
