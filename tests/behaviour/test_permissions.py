"""What belongs to somebody else is said to, and is never taken for missing."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.ledger.store import Store
from tests.answers import answer
from tests.faultserver.server import FaultServer
from tests.jobs import JobFiles, environment, last_line, texts

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


def read_only(state: Path) -> None:
    for path in [*state.rglob("*"), state]:
        path.chmod(0o500 if path.is_dir() else 0o400)


@pytest.mark.parametrize("killed", [False, True])
def test_a_state_that_can_only_be_read_can_be_looked_at(
    job: JobFiles, server: FaultServer, *, killed: bool
) -> None:
    job.table(texts(20))
    assert job.run().returncode == 0
    asked = server.requests
    state = job.folder / "state"
    if killed:  # its last answers are in the log, and not in the index
        with Store(state / "ledger.sqlite") as store:
            store.append([answer(1)])
            shutil.copytree(state, job.folder / "copy")
        shutil.rmtree(state)
        (job.folder / "copy").rename(state)
    files = {path: path.stat().st_mtime_ns for path in state.rglob("*")}
    read_only(state)
    config = str(job.config_file())
    done = {
        named: as_anybody(*named.split(), config, *rest)
        for named, *rest in [
            ["plan"],
            ["plan", "--limit", "3"],
            ["status"],
            ["explain", "3"],
            ["ledger stats"],
        ]
    }
    assert {named: each.returncode for named, each in done.items()} == dict.fromkeys(done, 0), done
    assert last_line(done["plan"])["requests"] == 0
    assert last_line(done["status"])["answers"] == 20
    assert last_line(done["explain"])["status"] == "ok"
    assert last_line(done["ledger stats"])["answers"] == 20 + killed
    assert {path: path.stat().st_mtime_ns for path in state.rglob("*")} == files
    assert server.requests == asked  # by the run alone


@pytest.mark.parametrize("what", ["ledger.sqlite", "."])
def test_a_run_whose_ledger_can_only_be_read_says_so_before_it_asks(
    job: JobFiles, server: FaultServer, what: str
) -> None:
    job.table(texts(20))
    assert job.run().returncode == 0
    asked_before = server.requests
    job.table(texts(30))
    state = job.folder / "state"
    if what == ".":
        read_only(state)
    else:
        (state / what).chmod(0o400)
    done = as_anybody("run", str(job.config_file()), "--quiet")
    assert (done.returncode, server.requests) == (73, asked_before), done.stderr
    assert str(state) in done.stderr
    assert "cannot be written" in done.stderr


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
