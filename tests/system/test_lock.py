"""A lock: one holder at a time, who notices when the lock was taken away."""

import fcntl
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.errors import CannotCreateError, DiskError, LockedError
from pipeline.system.lock import Lock
from tests.jobs import environment

ME = f"process {os.getpid()} on {socket.gethostname()}"


def lock_in(folder: Path) -> Lock:
    return Lock(folder / "lock", folder / "out.parquet", "output.path")


def test_a_lock_is_there_as_long_as_it_is_taken_and_names_its_holder(tmp_path: Path) -> None:
    lock = lock_in(tmp_path)
    assert lock.holder() is None
    with lock.held():
        lock.ensure_held()
        assert lock.holder() == ME
        assert lock.path.read_text() == ME
    assert lock.holder() is None
    assert list(tmp_path.iterdir()) == []


def test_a_second_one_is_turned_away_with_the_name_of_the_first_and_of_the_output(tmp_path: Path) -> None:
    with lock_in(tmp_path).held():
        with pytest.raises(LockedError) as caught, lock_in(tmp_path).held():
            pass
        assert str(caught.value) == f"{tmp_path}/out.parquet: in use by {ME}; wait for it, or end it"
        assert lock_in(tmp_path).holder() == ME


def test_a_file_that_is_removed_between_opening_and_locking_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, lock_file, removed = lock_in(tmp_path), fcntl.flock, []

    def locked_too_late(handle: int, how: int) -> None:
        if not removed:
            removed.append(lock.path.unlink())  # its holder does that last
        lock_file(handle, how)

    monkeypatch.setattr(fcntl, "flock", locked_too_late)
    with lock.held():
        lock.ensure_held()


def test_what_a_killed_holder_has_left_is_taken_over(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("process 1 on a machine with a very long name")
    lock = lock_in(tmp_path)
    assert lock.holder() is None
    with lock.held():
        assert lock.path.read_text() == ME


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be somebody else")
def test_a_lock_that_another_user_has_names_its_holder(tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents):
        if folder == tmp_path or folder.name.startswith(("pytest-", "popen-")):
            folder.chmod(0o755)
    before = os.umask(0o022)
    try:
        with Lock(tmp_path / "lock", tmp_path / "out.parquet", "output.path", mode=0o666).held():
            os.seteuid(65534)
            try:
                with pytest.raises(LockedError, match=f"in use by {ME}"), lock_in(tmp_path).held():
                    pass
            finally:
                os.seteuid(0)
    finally:
        os.umask(before)


def taken_away(lock: Lock) -> None:
    lock.path.unlink()


def moved(lock: Lock) -> None:
    lock.path.rename(lock.path.with_name("elsewhere"))


def folder_moved(lock: Lock) -> None:
    lock.path.parent.rename(lock.path.parent.with_name("elsewhere"))


def replaced(lock: Lock) -> None:
    lock.path.with_name("new").write_text(ME)
    lock.path.with_name("new").replace(lock.path)


def written_over(lock: Lock) -> None:
    """Where a file server has given the lock to somebody else, as the first one was out of reach for too long."""
    lock.path.write_text("process 1 on another machine")


@pytest.mark.parametrize("take_away", [taken_away, moved, folder_moved, replaced, written_over])
def test_a_holder_notices_that_the_lock_was_taken_away(tmp_path: Path, take_away) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    lock = lock_in(folder)
    with lock.held():
        take_away(lock)
        with pytest.raises(LockedError, match=r"out\.parquet: this run's lock .*/lock was moved or removed"):
            lock.ensure_held()


def test_whoever_has_it_now_is_named_and_keeps_it(tmp_path: Path) -> None:
    first, second = lock_in(tmp_path), lock_in(tmp_path)
    having = first.held()
    having.__enter__()
    first.path.unlink()
    with second.held():
        with pytest.raises(LockedError, match=f"{ME} has the output now"):
            first.ensure_held()
        having.__exit__(None, None, None)
        second.ensure_held()


def test_what_fails_after_the_lock_was_lost_fails_for_that_reason(tmp_path: Path) -> None:
    def fail() -> None:
        with lock_in(tmp_path).held():
            (tmp_path / "lock").unlink()
            raise DiskError("7 paid answers were saved to /tmp/x")

    with pytest.raises(LockedError, match=r"(?s)was moved or removed.*\n7 paid answers"):
        fail()


def test_what_fails_with_the_lock_in_hand_fails_as_it_does(tmp_path: Path) -> None:
    with pytest.raises(DiskError, match="full"), lock_in(tmp_path).held():
        raise DiskError("full")


@pytest.mark.parametrize("kind", ["a link", "a folder", "nowhere"])
def test_a_lock_that_cannot_be_made_is_named(tmp_path: Path, kind: str) -> None:
    lock = lock_in(tmp_path / ("nowhere" if kind == "nowhere" else "."))
    if kind == "a link":
        (tmp_path / "victim").write_text("precious")
        lock.path.symlink_to(tmp_path / "victim")
    elif kind == "a folder":
        lock.path.mkdir()
    with (
        pytest.raises(CannotCreateError, match=r"/lock: cannot be written: .*check output\.path"),
        lock.held(),
    ):
        pass
    assert kind != "a link" or (tmp_path / "victim").read_text() == "precious"


COUNT = """
import sys, time
from pathlib import Path
from pipeline.errors import LockedError
from pipeline.system.lock import Lock
folder, number = Path(sys.argv[1]), 0
while number < 150:
    try:
        with Lock(folder / "lock", folder, "output.path").held():
            count = int((folder / "count").read_text())
            time.sleep(0.0001)
            (folder / "count").write_text(str(count + 1))
            number += 1
    except LockedError:
        pass
"""


def test_between_processes_that_take_and_remove_it_all_the_time_there_is_one_at_a_time(
    tmp_path: Path,
) -> None:
    (tmp_path / "count").write_text("0")
    command = [sys.executable, "-c", COUNT, str(tmp_path)]
    processes = [subprocess.Popen(command, env=environment()) for _ in range(4)]
    assert [process.wait(60) for process in processes] == [0] * 4
    assert (tmp_path / "count").read_text() == "600"
    assert [path.name for path in tmp_path.iterdir()] == ["count"]


LOOK = """
import sys
from pathlib import Path
from pipeline.system.lock import Lock
print("ready", flush=True)
while not Path(sys.argv[1], "end").exists():
    Lock(Path(sys.argv[1], "lock"), Path("out"), "output.path").holder()
"""


def test_whoever_only_looks_turns_nobody_away(tmp_path: Path) -> None:
    command = [sys.executable, "-c", LOOK, str(tmp_path)]
    with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE) as looking:
        assert looking.stdout
        looking.stdout.readline()
        try:
            for _ in range(200):
                with lock_in(tmp_path).held():
                    pass
        finally:
            (tmp_path / "end").touch()
        assert looking.wait(10) == 0
