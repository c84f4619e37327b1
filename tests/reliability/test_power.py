"""Power loss at any instant: what was durable is there when the power is back.

The job's state and output are on an ext4 file system of its own. Its power is cut with FS_IOC_SHUTDOWN: nothing
that is not on the disk at that instant ever gets there. What counts as durable is what a reader of the ledger sees
right before: SQLite shows a transaction only after its fdatasync.
"""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path
from random import Random

import pytest

from pipeline.system.atomic import write
from tests.faultserver.server import FaultServer
from tests.faultserver.settings import FaultServerSettings
from tests.jobs import JobFiles, right_label, some_rows
from tests.reliability.campaign import (
    CHUNK_ROWS,
    IN_FLIGHT,
    KILLED,
    LATENCY,
    Campaign,
    moments,
    soak_seeds,
    write_rows,
)
from tests.reliability.checker import Record, Witness
from tests.reliability.disks import LoopDisk, loop_disk, needs_mounts
from tests.reliability.evidence import read_ledger, read_table
from tests.reliability.launcher import Launcher

pytestmark = [pytest.mark.soak, needs_mounts]

ROWS = 300
LONGEST = 0.8
COMMIT = 128
"""A commit takes longer here: the disk is a file on a disk."""

CUTS_PER_SEED = 20


@contextmanager
def job_on(disk: LoopDisk, launcher: Launcher, *, as_folder: bool) -> Iterator[Campaign]:
    """Give a campaign whose job lives on *disk*."""
    with FaultServer(FaultServerSettings(latency=LATENCY), label_for=right_label) as server:
        job = JobFiles(disk.mount, server.base_url).set(limits={"max_concurrency": IN_FLIGHT})
        write_rows(job, some_rows(ROWS), folder=as_folder)
        job.config_file()
        disk.sync()
        yield Campaign(job, server, launcher, Witness(job, lambda: server.entries, commit=COMMIT))


def durable_ids(state: Path) -> set[int]:
    """What a reader of the live ledger sees: ids of answers whose transaction has returned."""
    if not (state / "ledger.sqlite").exists():
        return set()
    with closing(sqlite3.connect(f"file:{state / 'ledger.sqlite'}?mode=ro", uri=True)) as connection:
        try:
            return {number for (number,) in connection.execute("SELECT id FROM answers")}
        except sqlite3.OperationalError as error:
            if "no such table" not in str(error):
                raise
            return set()


def cut_after(found: Campaign, disk: LoopDisk, seconds: float) -> bool:
    """Cut the power so many seconds after a start; returns whether the run was still at work."""
    execution = found.start()
    time.sleep(seconds)
    was_over = execution.over
    before = None if not found.job.output.exists() else "there"
    durable = durable_ids(disk.mount / "state")
    disk.cut()
    ended = execution.kill()
    found.settle()
    disk.replug()
    missing = durable - read_ledger(disk.mount / "state").by_id.keys()
    assert not missing, f"{len(missing)} durable answers have gone"
    if before is not None:
        read_table(found.job.output)  # the old one or the new one, whole
    if not was_over:
        found.witness.execution_ended(killed=True)
        return True
    assert ended.status == 0, ended.err
    found.witness.execution_ended()
    requests = found.server.requests
    again = found.start().wait()
    assert (again.status, found.server.requests) == (0, requests)  # done is done, power or not
    return False


def test_a_file_that_was_written_is_whole_after_a_power_cut(tmp_path: Path) -> None:
    with loop_disk(tmp_path) as disk:
        for content in (b"old" * 5000, b"new" * 7000):
            write(disk.mount / "file", content)
            disk.cut()
            disk.replug()
            assert (disk.mount / "file").read_bytes() == content


@pytest.mark.parametrize("seed", soak_seeds(10))
def test_power_cuts_at_random_instants_lose_no_durable_answer(
    tmp_path: Path, launcher: Launcher, record_property: Record, seed: int
) -> None:
    chance, as_folder, cuts = Random(seed), seed % 2 == 0, 0
    moment = moments(chance, LONGEST)
    with loop_disk(tmp_path) as disk, job_on(disk, launcher, as_folder=as_folder) as found:
        rows = some_rows(ROWS)
        while cuts < CUTS_PER_SEED:
            cuts += 1
            if cut_after(found, disk, moment()):
                continue
            assert found.witness.verdict() == []
            rows = [*rows, *(f"one more {chance.random()}" for _ in range(CHUNK_ROWS))]
            write_rows(found.job, rows, folder=as_folder)
            disk.sync()
        assert found.start().wait().status == 0
        found.witness.execution_ended()
        found.witness.record(record_property, "power cut")
        assert found.witness.verdict() == []


@pytest.mark.parametrize("as_folder", [False, True], ids=["file", "folder"])
def test_a_power_cut_at_every_step_of_writing_leaves_the_old_output_or_the_new_one(
    tmp_path: Path, launcher: Launcher, record_property: Record, *, as_folder: bool
) -> None:
    with loop_disk(tmp_path) as disk, job_on(disk, launcher, as_folder=as_folder) as found:
        assert found.start().wait().status == 0
        found.witness.execution_ended()
        old = read_table(found.job.output)
        write_rows(found.job, [*some_rows(ROWS), *["another", "and another"]], folder=as_folder)
        disk.sync()
        for at in count(1):
            ended = found.start(at=at, mount=str(disk.mount)).wait()
            found.settle()
            disk.replug()
            found.witness.execution_ended(killed=ended.status == KILLED)
            output = read_table(found.job.output)
            assert len(output) == len(old) + 2 or output.equals(old)
            if ended.status != KILLED:
                assert ended.status == 0, ended.err
                break
        assert at > 10
        found.witness.record(record_property, "power cut")
        assert found.witness.verdict() == []
