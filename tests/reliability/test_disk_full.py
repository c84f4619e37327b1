"""No room, no more files, no right to write: the run ends with 74 or 73, and what was paid for is kept."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faultserver.server import FaultServer
from tests.faultserver.settings import FaultServerSettings
from tests.jobs import JobFiles, right_label, some_rows, texts
from tests.reliability.campaign import IN_FLIGHT, LATENCY, Campaign, write_rows
from tests.reliability.checker import Witness
from tests.reliability.disks import needs_mounts, read_only, tmpfs
from tests.reliability.launcher import Launcher

ROWS = 600
CANNOT_CREATE = 73
DISK_ERROR = 74


@contextmanager
def job_in(
    folder: Path, launcher: Launcher, rows: list[str | None], **settings: dict[str, object]
) -> Iterator[Campaign]:
    """Give a job in *folder*, some of whose settings point elsewhere."""
    with FaultServer(FaultServerSettings(latency=LATENCY), label_for=right_label) as server:
        job = JobFiles(folder, server.base_url).set(limits={"max_concurrency": IN_FLIGHT}, **settings)
        write_rows(job, rows, folder=False)
        yield Campaign(job, server, launcher, Witness(job, lambda: server.entries))


def fails_and_continues(found: Campaign, **plan: object) -> str:
    """Run to a disk error, then without the fault; returns what the first one said. Nothing is paid twice."""
    failed = found.start(**plan).wait()
    assert failed.status == DISK_ERROR, failed
    assert "Traceback" not in failed.err
    done = found.start().wait()
    assert done.status == 0, done.err
    assert found.server.repeats() == {}, failed.err
    found.witness.execution_ended()
    broken = found.witness.verdict()
    assert broken == [], "\n".join(broken)
    return failed.err


@pytest.mark.slow
def test_a_ledger_that_may_not_grow_any_more_costs_no_answer(tmp_path: Path, launcher: Launcher) -> None:
    with job_in(tmp_path, launcher, some_rows(ROWS)) as found:
        told = fails_and_continues(found, FSIZE=120_000)  # EFBIG
        assert "ledger.sqlite" in told


def test_with_few_files_allowed_the_run_takes_fewer_connections_or_says_what_to_raise(
    tmp_path: Path, launcher: Launcher
) -> None:
    with job_in(tmp_path, launcher, [*texts(ROWS)]) as found:
        found.job.set(limits={"max_concurrency": 200})
        ended = found.start(NOFILE=60).wait()
        assert "ulimit -n" in ended.err, ended
        if ended.status:
            assert found.start().wait().status == 0
        found.witness.execution_ended()
        broken = found.witness.verdict()
        assert broken == [], "\n".join(broken)
        assert found.server.repeats() == {}


long_rows: list[str | None] = [f"{text} {'x' * 1500}" for text in texts(ROWS)]


@pytest.mark.soak
@needs_mounts
@pytest.mark.parametrize("kilobytes", [9_300, 9_000, 8_800, 8_600, 8_500, 8_400, 8_300])
def test_a_full_disk_below_the_ledger_costs_no_answer(
    tmp_path: Path, launcher: Launcher, kilobytes: int
) -> None:
    with tmpfs(tmp_path / "small", kilobytes) as small, job_in(tmp_path, launcher, some_rows(2000)) as found:
        found.job.set(state={"dir": str(small / "state")})
        filler = small / "filler"
        filler.write_bytes(b"")
        failed = found.start().wait()
        assert failed.status == DISK_ERROR, failed
        assert str(small) in failed.err
        assert "make room" in failed.err
        enlarge(small)
        done = found.start().wait()
        assert done.status == 0, done.err
        assert found.server.repeats() == {}, failed.err


def enlarge(mount: Path) -> None:
    """Make room."""
    from tests.reliability.disks import run  # noqa: PLC0415

    run("mount", "-o", "remount,size=100m", mount)


@pytest.mark.soak
@needs_mounts
@pytest.mark.parametrize("kilobytes", [4, 12, 20])
def test_a_full_disk_below_the_output_costs_no_answer_and_leaves_the_old_one(
    tmp_path: Path, launcher: Launcher, kilobytes: int
) -> None:
    with tmpfs(tmp_path / "small", kilobytes) as small, job_in(tmp_path, launcher, long_rows) as found:
        found.job.set(output={"path": str(small / "labelled.parquet")})
        failed = found.start().wait()
        assert failed.status == DISK_ERROR, failed
        assert "make room" in failed.err
        assert list(small.iterdir()) == []
        enlarge(small)
        requests = found.server.requests
        assert found.start().wait().status == 0
        assert found.server.requests == requests
        found.witness.execution_ended()
        broken = found.witness.verdict()
        assert broken == [], "\n".join(broken)


@pytest.mark.soak
@needs_mounts
@pytest.mark.parametrize("where", ["state", "out"])
def test_a_folder_that_cannot_be_written_is_found_before_the_first_request(
    tmp_path: Path, launcher: Launcher, where: str
) -> None:
    with job_in(tmp_path, launcher, some_rows(ROWS)) as found:
        folder = tmp_path / where
        folder.mkdir()
        with read_only(folder):
            refused = found.start().wait()
        assert refused.status == CANNOT_CREATE, refused.err
        assert str(folder) in refused.err
        assert found.server.requests == 0
