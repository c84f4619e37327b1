"""What belongs to somebody else is said to, and is never taken for missing."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faultserver.server import FaultServer
from tests.jobs import JobFiles, environment, texts

COMMON = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
"""Root without these is anybody as far as permissions go."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs setpriv: apt install util-linux"),
]


def as_anybody(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMON, sys.executable, "-m", "pipeline", *arguments],
        env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip


def refused(done: subprocess.CompletedProcess[str], status: int, path: Path) -> bool:
    """Whether it ended with *status* and one line about *path*."""
    is_line = done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    return (
        done.returncode == status and is_line and str(path) in done.stderr and "cannot be read" in done.stderr
    )


@pytest.mark.parametrize("command", ["plan", "status", "ledger stats"])
def test_a_state_that_cannot_be_read_is_not_taken_for_none(job: JobFiles, command: str) -> None:
    job.table(texts(20))
    assert job.run().returncode == 0
    state = job.folder / "state"
    state.chmod(0)
    try:
        done = as_anybody(*command.split(), str(job.config_file()))
    finally:
        state.chmod(0o700)
    assert refused(done, 73, state), done.stderr


@pytest.mark.parametrize("place", ["in.parquet", "", "*.parquet"])
def test_an_input_in_a_folder_that_cannot_be_read_is_no_bug(
    job: JobFiles, server: FaultServer, place: str
) -> None:
    locked = job.folder / "locked"
    locked.mkdir(mode=0)
    job.settings["input"]["path"] = f"locked/{place}"
    job.set(output={"path": "out/labelled.parquet" if place == "in.parquet" else "out/labelled"})
    done = as_anybody("run", str(job.config_file()), "--quiet")
    assert (done.returncode, server.requests) == (66, 0)
    assert done.stderr.count("\n") == 1
    assert str(locked) in done.stderr


def test_a_config_that_cannot_be_read_says_so(job: JobFiles) -> None:
    job.table(texts(5))
    config = job.config_file()
    config.chmod(0)
    assert refused(as_anybody("run", str(config)), 66, config)


def test_a_folder_for_metrics_that_cannot_be_entered_is_found_at_once(
    job: JobFiles, server: FaultServer
) -> None:
    job.table(texts(5))
    (job.folder / "locked").mkdir(mode=0)
    done = as_anybody("run", str(job.config_file()), "--metrics-file", str(job.folder / "locked/x.prom"))
    assert (done.returncode, server.requests, done.stderr.count("\n")) == (73, 0, 1)
