"""One run writes an output, whatever happens: a second one is turned away, and one that was passed over stops."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from itertools import count, product
from pathlib import Path
from typing import Self

import pytest

from pipeline.config.simulate.latency import Fixed
from pipeline.errors import LockedError
from pipeline.inputs.read import CHUNK_ROWS
from tests.faultserver.server import FaultServer
from tests.faultserver.settings import FaultServerSettings
from tests.jobs import JobFiles, asked, chunk_of, right_label, run_job, texts
from tests.reliability.checker import Witness
from tests.reliability.evidence import litter, read_ledger
from tests.reliability.launcher import Ended, Execution, Launcher

ROWS = 160
IN_FLIGHT = 8


@pytest.fixture
def slow_server() -> Iterator[FaultServer]:
    with FaultServer(FaultServerSettings(latency=Fixed(0.03)), label_for=right_label) as server:
        yield server


@pytest.fixture
def slow_job(tmp_path: Path, slow_server: FaultServer) -> JobFiles:
    job = JobFiles(tmp_path, slow_server.base_url).set(limits={"max_concurrency": IN_FLIGHT})
    job.table(texts(ROWS))
    return job


@pytest.fixture
def start(launcher: Launcher, slow_job: JobFiles) -> Iterator[Callable[..., Execution]]:
    """Starts executions of the job; what is left of them at the end is killed."""
    started: list[Execution] = []

    def begin(*arguments: str) -> Execution:
        started.append(launcher.start("run", str(slow_job.config_file()), "--quiet", *arguments))
        return started[-1]

    yield begin
    for execution in started:
        execution.kill()


Start = Callable[..., Execution]


def until(true: Callable[[], object], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def at_work(start: Start, server: FaultServer, *arguments: str) -> Execution:
    """An execution that has sent some requests."""
    seen = server.requests
    first = start(*arguments)
    until(lambda: server.requests >= seen + 40)
    return first


def fallen_asleep(start: Start, job: JobFiles, server: FaultServer) -> Execution:
    """An execution that was stopped while it was waiting for replies; all that it had sent is answered."""
    first = at_work(start, server)
    while True:
        until(lambda: server.in_flight == IN_FLIGHT)
        time.sleep(0.01)  # a request that is just being handed to the network would go out later
        first.signal(signal.SIGSTOP)
        until(lambda: is_stopped(first))
        # All of them unanswered still: it had nothing to send when it was stopped.
        if server.in_flight == IN_FLIGHT and is_free(job.folder / "state" / "ledger.sqlite"):
            break
        # In the midst of a commit, which would keep all others out of the ledger.
        first.signal(signal.SIGCONT)
        time.sleep(0.01)
    time.sleep(0.15)
    until(lambda: server.in_flight == 0)
    return first


def is_stopped(execution: Execution) -> bool:
    return Path(f"/proc/{execution.process}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def is_free(ledger: Path) -> bool:
    connection = sqlite3.connect(ledger, timeout=0, isolation_level=None)
    try:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")
    except sqlite3.OperationalError:
        return False
    finally:
        connection.close()
    return True


def is_turned_away(ended: Ended, first: Execution, job: JobFiles) -> bool:
    assert ended.status == 75, ended.err
    assert (
        f"error: {job.output}: in use by process {first.process} on {os.uname().nodename}; wait" in ended.err
    )
    assert json.loads(ended.out.splitlines()[-1])["status"] == "interrupted"
    return True


def workspace_of(job: JobFiles) -> Path:
    (folder,) = (
        path for path in (job.folder / "state" / "runs").iterdir() if not path.name.endswith(".away")
    )
    return folder


def lock_of(job: JobFiles) -> Path:
    return job.output.with_name(f".{job.output.name}.lock")


def everything_in(*folders: Path) -> dict[str, bytes]:
    return {
        str(path): path.read_bytes() for folder in folders for path in folder.rglob("*") if path.is_file()
    }


def moved_away(job: JobFiles) -> None:
    folder = workspace_of(job)
    folder.rename(folder.with_name(f"{folder.name}.away"))
    lock_of(job).rename(job.folder / "old-lock")


def removed(job: JobFiles) -> None:
    shutil.rmtree(workspace_of(job))
    lock_of(job).unlink()


def output_folder_replaced(job: JobFiles) -> None:
    job.output.parent.rename(job.folder / "out.old")
    shutil.copytree(job.folder / "out.old", job.output.parent)
    folder = workspace_of(job)
    folder.rename(folder.with_name(f"{folder.name}.away"))
    shutil.copytree(folder.with_name(f"{folder.name}.away"), folder)


@pytest.mark.slow
@pytest.mark.parametrize("take_away", [moved_away, removed, output_folder_replaced])
def test_a_run_that_slept_through_a_takeover_writes_nothing_sends_nothing_and_says_why(
    slow_job: JobFiles, slow_server: FaultServer, start: Start, take_away: Callable[[JobFiles], None]
) -> None:
    witness = Witness(slow_job, lambda: slow_server.entries)
    sleeper = fallen_asleep(start, slow_job, slow_server)
    witness.execution_ended(killed=True)
    take_away(slow_job)
    assert start().wait().status == 0
    witness.execution_ended()
    assert witness.verdict() == []
    before = everything_in(slow_job.output.parent, workspace_of(slow_job))
    sent = len(asked(slow_server))

    sleeper.signal(signal.SIGCONT)
    ended = sleeper.wait()

    assert ended.status == 75, ended.err
    assert "lock" in ended.err
    assert "was moved or removed, and another run may have the output now" in ended.err
    assert str(slow_job.output) in ended.err
    assert "Traceback" not in ended.err
    assert json.loads(ended.out.splitlines()[-1])["status"] == "interrupted"
    assert everything_in(slow_job.output.parent, workspace_of(slow_job)) == before
    assert len(asked(slow_server)) == sent
    keys = {answer.key for answer in read_ledger(slow_job.folder / "state").by_id.values()}
    assert len(keys) == ROWS
    paid = len(read_ledger(slow_job.folder / "state").by_id)
    assert paid == sum(1 for entry in slow_server.entries if entry.billed)  # what was in flight is kept, too


def test_a_run_whose_whole_state_was_moved_away_leaves_the_new_state_alone(
    slow_job: JobFiles, slow_server: FaultServer, start: Start
) -> None:
    sleeper = fallen_asleep(start, slow_job, slow_server)
    (slow_job.folder / "state").rename(slow_job.folder / "state.old")
    lock_of(slow_job).unlink()
    seen = len(slow_server.entries)
    taker = at_work(start, slow_server)

    sleeper.signal(signal.SIGCONT)
    ended = sleeper.wait()

    assert ended.status == 75, ended.err
    assert f"process {taker.process} on {os.uname().nodename} has the output now" in ended.err
    assert not taker.over
    assert taker.wait().status == 0
    # What was in flight is paid and kept, in whichever of the two ledgers.
    kept = [len(read_ledger(slow_job.folder / name).by_id) for name in ("state.old", "state")]
    assert sum(kept) == sum(1 for entry in slow_server.entries if entry.billed)
    labelled = slow_job.labelled()
    assert labelled["text"].to_list() == texts(ROWS)
    assert labelled["label"].to_list() == [right_label(text) for text in texts(ROWS)]
    assert list(litter(slow_job)) == []
    assert sum(1 for entry in slow_server.entries[seen:] if entry.text) == ROWS


@pytest.mark.parametrize("take_away", [lambda _: None, lambda job: shutil.rmtree(workspace_of(job))])
def test_while_a_run_is_only_asleep_and_has_one_of_its_locks_another_is_turned_away(
    slow_job: JobFiles, slow_server: FaultServer, start: Start, take_away: Callable[[JobFiles], None]
) -> None:
    sleeper = fallen_asleep(start, slow_job, slow_server)
    take_away(slow_job)
    sent = slow_server.requests
    assert is_turned_away(start().wait(), sleeper, slow_job)
    assert slow_server.requests == sent


def through_a_folder(job: JobFiles) -> str:
    (job.folder / "link").symlink_to("out")
    return "link/labelled.parquet"


def through_a_link_to_the_file(job: JobFiles) -> str:
    (job.folder / "another.parquet").symlink_to("out/labelled.parquet")
    return "another.parquet"


def test_a_second_run_of_one_output_is_turned_away_by_whatever_way_and_state_it_comes(
    slow_job: JobFiles, slow_server: FaultServer, start: Start
) -> None:
    first = fallen_asleep(start, slow_job, slow_server)
    sent = slow_server.requests
    ways = [str(slow_job.output), through_a_folder(slow_job), through_a_link_to_the_file(slow_job)]
    for state, way in product(["state", "another-state"], ways):
        second = start("--set", f"state.dir={state}", "--set", f"output.path={way}")
        assert is_turned_away(second.wait(), first, slow_job)
    assert slow_server.requests == sent
    first.signal(signal.SIGCONT)
    assert first.wait().status == 0
    assert slow_server.repeats() == {}


def test_a_link_to_an_output_stays_a_link_and_leads_to_the_new_output(
    slow_job: JobFiles, start: Start
) -> None:
    (slow_job.folder / "elsewhere").mkdir()
    (slow_job.folder / "link.parquet").symlink_to("elsewhere/real.parquet")
    slow_job.set(output={"path": "link.parquet"})
    for night in range(2):
        slow_job.table(texts(30 + night))
        assert start().wait().status == 0
        assert slow_job.output.is_symlink()
        assert [path.name for path in (slow_job.folder / "elsewhere").iterdir()] == ["real.parquet"]
        assert slow_job.labelled()["label"].null_count() == 0


def test_a_link_to_an_output_folder_stays_a_link(slow_job: JobFiles, start: Start) -> None:
    (slow_job.folder / "in").mkdir()
    (slow_job.folder / "elsewhere").mkdir()
    (slow_job.folder / "days").symlink_to("elsewhere/days")
    for number in range(2):
        slow_job.table(texts(20, number * 20), f"in/{number}.parquet")
        slow_job.set(input={"path": "in"}, output={"path": "days"})
        assert start().wait().status == 0
        assert slow_job.output.is_symlink()
        assert [path.name for path in (slow_job.folder / "elsewhere").iterdir()] == ["days"]
        assert len(list(slow_job.output.iterdir())) == number + 1


def test_a_killed_run_leaves_a_lock_that_the_next_one_takes_over_and_removes(
    slow_job: JobFiles, slow_server: FaultServer, start: Start
) -> None:
    at_work(start, slow_server).kill()
    assert lock_of(slow_job).exists()
    assert start().wait().status == 0
    assert [path.name for path in slow_job.output.parent.iterdir()] == ["labelled.parquet"]
    assert not (workspace_of(slow_job) / "lock").exists()


def test_a_run_that_waits_for_a_server_that_hangs_notices_within_seconds(
    slow_job: JobFiles, slow_server: FaultServer, start: Start
) -> None:
    slow_job.set(limits={"drain": "0.5s", "request_timeout": "10m"})
    waiting = at_work(start, slow_server)
    slow_server.start_outage("hang")
    time.sleep(0.3)
    lock_of(slow_job).unlink()
    until(lambda: waiting.over, 60)
    assert waiting.wait().status == 75


# What a run that was passed over may meet at any instant, in one process, where the instant can be chosen.

PART = f"r{CHUNK_ROWS:015}-{2 * CHUNK_ROWS:015}.arrow"
OTHERS = b"written by the run that has taken over"


class TakenOver:
    """A job whose workspace and output are taken over by another run at a chosen instant."""

    def __init__(self, folder: Path) -> None:
        self.at: Callable[[str], bool] = lambda _: False
        self.done = False
        self._server = FaultServer(label_for=self._label)
        self.folder = folder

    def __enter__(self) -> Self:
        self._server.__enter__()
        self.job = JobFiles(self.folder, self._server.base_url).set(limits={"max_concurrency": 1})
        (self.folder / "in").mkdir()
        for number in range(3):
            self.job.table(chunk_of(texts(10, number * 10)), f"in/{number}.parquet")
        self.job.set(input={"path": "in"}, output={"path": "out/days"})
        return self

    def __exit__(self, *error: object) -> None:
        self._server.__exit__(None, None, None)

    def _label(self, text: str) -> str:
        if self.at(text):
            self.take_over()
        return right_label(text)

    def take_over(self) -> None:
        """Move all away and put something of another run there."""
        if self.done:
            return
        moved_away(self.job)
        folder = self.folder / "state" / "runs" / self._name()
        files = [
            "run.json",
            "report.json",
            f"parts/{PART}",
            f"parts/r{2 * CHUNK_ROWS:015}-{3 * CHUNK_ROWS:015}.arrow",
        ]
        for name in files:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(OTHERS)
        self.done = True

    def _name(self) -> str:
        (old,) = (self.folder / "state" / "runs").glob("*.away")
        return old.name.removesuffix(".away")

    async def loses(self) -> dict[str, bytes]:
        """Run, expecting that it stops; returns what is in the places that are no longer its own."""
        with pytest.raises(LockedError, match="was moved or removed"):
            await run_job(self.job.config())
        return self.left()

    def left(self) -> dict[str, bytes]:
        """Return what is in the places that are no longer the run's own."""
        assert self.done
        return everything_in(self.folder / "out", self.folder / "state" / "runs" / self._name())


@pytest.fixture
def taken_over(tmp_path: Path) -> Iterator[TakenOver]:
    with TakenOver(tmp_path) as found:
        yield found


async def test_no_part_is_written_among_those_of_another_run(taken_over: TakenOver) -> None:
    taken_over.at = lambda text: text == texts(1, 15)[0]
    left = await taken_over.loses()
    assert set(left.values()) == {OTHERS}
    assert len(left) == 4


FILES = {f"{number}.parquet" for number in range(3)}


@pytest.mark.parametrize(
    ("folder", "times", "published"),
    [
        (".keys", 0, set()),
        (".days", 1, set()),
        (".days", 4, set()),
        ("out", 1, FILES),
        ("days-", 2, FILES),
    ],
    ids=["it begins", "files are synced", "all is synced", "it is published", "it is reported"],
)
async def test_neither_output_nor_record_of_another_run_is_written(
    taken_over: TakenOver, monkeypatch: pytest.MonkeyPatch, folder: str, times: int, published: set[str]
) -> None:
    take_over_at(folder, times, taken_over, monkeypatch)
    ensure_only_others(await taken_over.loses(), published)


async def test_a_run_that_is_taken_over_after_it_was_recorded_is_done_and_writes_nothing_more(
    taken_over: TakenOver, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_over_at("days-", 4, taken_over, monkeypatch)
    assert (await run_job(taken_over.job.config())).failed == 0
    ensure_only_others(taken_over.left(), FILES)


def ensure_only_others(left: dict[str, bytes], published: set[str]) -> None:
    """Check that nothing but *published* was written among the four files of the other run."""
    others = {path for path, content in left.items() if content == OTHERS}
    assert len(others) == 4
    assert {Path(path).name for path in set(left) - others} == published


def take_over_at(folder: str, times: int, taken_over: TakenOver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take over when *folder* is made, or when it is synced for so many times.

    A temporary one is synced once with each of its files, one that stays after each rename in it.
    """
    sync, make, synced = os.fsync, os.mkdir, count(1)

    def fsync(handle: int) -> None:
        sync(handle)
        path = Path(f"/proc/self/fd/{handle}").readlink()
        inside = path if path.is_dir() or not folder.startswith(".") else path.parent
        if inside.is_dir() and inside.name.startswith(folder) and next(synced) == times:
            taken_over.take_over()

    def mkdir(path: Path, *arguments: object) -> None:
        make(path, *arguments)
        if not times and Path(path).name.startswith(folder):
            taken_over.take_over()

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "mkdir", mkdir)


async def test_a_new_folder_has_a_name_of_this_process_and_what_earlier_ones_left_is_cleared_away(
    taken_over: TakenOver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a run that was passed over in the midst of it would put files among those of the next one."""
    made: list[str] = []
    make = os.mkdir

    def mkdir(path: Path, *arguments: object) -> None:
        made.append(Path(path).name)
        make(path, *arguments)

    (taken_over.folder / "out" / ".days.1.tmp" / "deep").mkdir(parents=True)
    (taken_over.folder / "out" / ".days.more.1.tmp").mkdir()
    monkeypatch.setattr(os, "mkdir", mkdir)
    await run_job(taken_over.job.config())
    assert {name for name in made if name.endswith(".tmp")} == {
        f".{name}.{os.getpid()}.tmp" for name in ("keys", "days")
    }
    assert sorted(path.name for path in (taken_over.folder / "out").iterdir()) == [".days.more.1.tmp", "days"]


# Where nobody can write.


def test_a_state_directory_that_is_a_file_ends_the_run_before_the_first_request(
    slow_job: JobFiles, slow_server: FaultServer, start: Start
) -> None:
    (slow_job.folder / "state").write_text("precious")
    ended = start().wait()
    assert ended.status == 73
    assert "check state.dir" in ended.err
    assert slow_server.requests == 0
    assert (slow_job.folder / "state").read_text() == "precious"


@pytest.fixture
def read_only(slow_job: JobFiles) -> Iterator[Callable[[], None]]:
    """Makes the output's folder unwritable, for root too."""
    folder = slow_job.output.parent
    mounted: list[Path] = []

    def mount() -> None:
        for options in (["--bind"], ["-o", "remount,ro,bind"]):
            done = subprocess.run(
                ["mount", *options, str(folder), str(folder)], capture_output=True, check=False
            )
            if done.returncode:
                pytest.skip("needs root and mount (util-linux): only a read-only bind mount keeps root out")
            mounted.append(folder)

    yield mount
    if mounted:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.soak
def test_an_output_folder_that_has_become_read_only_is_found_before_the_first_request(
    slow_job: JobFiles, slow_server: FaultServer, start: Start, read_only: Callable[[], None]
) -> None:
    assert start().wait().status == 0
    before, sent = slow_job.output.read_bytes(), slow_server.requests
    read_only()
    assert start().wait().status == 0  # nothing to do: nothing to write
    slow_job.table(texts(ROWS + 1))
    ended = start().wait()
    assert ended.status == 73
    assert "check output.path" in ended.err
    assert "Read-only file system" in ended.err
    assert slow_server.requests == sent
    assert slow_job.output.read_bytes() == before
