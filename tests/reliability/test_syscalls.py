"""Killed at, or failed by, the Nth system call of a kind, SQLite's own among them: strace does it."""

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest

from tests.faultserver.server import FaultServer
from tests.faultserver.settings import FaultServerSettings
from tests.jobs import JobFiles, environment, right_label, some_rows
from tests.reliability.campaign import IN_FLIGHT, LATENCY, write_rows
from tests.reliability.checker import Witness

pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(
        shutil.which("strace") is None, reason="needs strace: `apt-get install strace`, or run `make soak`"
    ),
]

ROWS = 120
DISK_ERROR = 74
KILLED = -signal.SIGKILL
TRACE = "trace"
MOST = 150


@contextmanager
def fresh_job(folder: Path, *, as_folder: bool = False) -> Iterator[tuple[JobFiles, FaultServer, Witness]]:
    """Give a job that has not begun."""
    folder.mkdir()
    with FaultServer(FaultServerSettings(latency=LATENCY), label_for=right_label) as server:
        job = JobFiles(folder, server.base_url).set(limits={"max_concurrency": IN_FLIGHT})
        write_rows(job, some_rows(ROWS), folder=as_folder)
        yield job, server, Witness(job, lambda: server.entries)
        shutil.rmtree(folder)


def run_under_strace(job: JobFiles, call: str, what: str) -> subprocess.CompletedProcess[str]:
    """Run the job with something injected into the system call *call*."""
    # Bytecode is written on the way otherwise, and would be what is hit.
    tracing = ["strace", "-f", "-qq", "-o", str(job.folder / TRACE), "-e", f"trace={call}"]
    injecting = ["-e", f"inject={call}:{what}"]
    run = [sys.executable, "-B", "-m", "pipeline", "run", str(job.config_file()), "--quiet"]
    return subprocess.run(
        [*tracing, *injecting, *run], capture_output=True, text=True, env=environment(), check=False
    )


CALLS = ["pwrite64", "fdatasync", "fsync", "rename", "renameat2", "unlink", "ftruncate", "fallocate", "mkdir"]


@pytest.mark.parametrize("as_folder", [False, True], ids=["file", "folder"])
@pytest.mark.parametrize("call", CALLS)
def test_a_run_killed_at_any_system_call_towards_the_disk_continues(
    tmp_path: Path, call: str, *, as_folder: bool
) -> None:
    for number in count(1):
        with fresh_job(tmp_path / str(number), as_folder=as_folder) as (job, server, witness):
            if call == "renameat2":  # folders change places only where there is an old one
                assert job.run("--quiet").returncode == 0
                witness.execution_ended()
                write_rows(job, [*some_rows(ROWS), "another"], folder=as_folder)
            ended = run_under_strace(job, call, f"signal=KILL:when={number}")
            assert ended.returncode in {0, KILLED}, ended.stderr
            killed = ended.returncode == KILLED
            while server.in_flight:
                pass
            witness.execution_ended(killed=killed)
            if killed:
                done = job.run("--quiet")
                assert done.returncode == 0, done.stderr
                witness.execution_ended()
            broken = witness.verdict()
            assert broken == [], f"{call} {number}: {broken}"
            if not killed:
                assert number > 1 or not is_made(call, as_folder=as_folder)
                return
        assert number < MOST


def is_made(call: str, *, as_folder: bool) -> bool:
    """Whether a run makes the system call: only folders change places, and nothing is allocated ahead."""
    return call != "fallocate" and (as_folder or call != "renameat2")


@pytest.mark.parametrize("error", ["EIO", "ENOSPC"])
@pytest.mark.parametrize("ever", ["", "+"], ids=["once", "for ever"])
@pytest.mark.parametrize("call", ["fdatasync", "fsync", "pwrite64", "rename"])
def test_a_disk_that_fails_ends_the_run_with_74_and_costs_no_answer(
    tmp_path: Path, call: str, ever: str, error: str
) -> None:
    for number in count(1, 1 if call != "pwrite64" else 3):
        with fresh_job(tmp_path / str(number)) as (job, server, witness):
            failed = run_under_strace(job, call, f"error={error}:when={number}{ever}")
            assert failed.returncode in {0, 73, DISK_ERROR}, failed.stderr
            assert "Traceback" not in failed.stderr
            if failed.returncode:
                done = job.run("--quiet")
                assert done.returncode == 0, done.stderr
            assert server.repeats() == {}, f"{call} {number}: paid twice; {failed.stderr}"
            witness.execution_ended()
            broken = witness.verdict()
            assert broken == [], f"{call} {number}: {broken}; {failed.stderr}"
            if "INJECTED" not in (job.folder / TRACE).read_text():  # there are no more calls of this kind
                return
        assert number < MOST
