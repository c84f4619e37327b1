"""The state of one output: one run at a time, and a record that is whole or not there."""

import os
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.errors import CannotCreateError, DiskError, LockedError
from pipeline.job.state import ensure_state
from pipeline.job.workspace import (
    PUBLISHED,
    RUNNING,
    RunRecord,
    Workspace,
    new_run_id,
    workspace,
)
from pipeline.storage import whole_stamp
from pipeline.system.clock import Clock

NOON = Clock(wall=lambda: 1_764_000_000.0, random=lambda: 0.5)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Workspace]:
    place = workspace(tmp_path / "state", tmp_path / "out.parquet")
    with place.locked():
        yield place


def test_a_record_is_loaded_as_it_was_saved(place: Workspace) -> None:
    record = RunRecord("run-1", "identity", PUBLISHED, 1.5, 7, 1, 2.5, "stamp", {"rows": 3})
    place.save(record)
    assert place.load() == record


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"run_id": "x"}', b'{"what": 1}', b"\xff"])
def test_a_record_that_cannot_be_read_counts_as_none(place: Workspace, content: bytes) -> None:
    (place.folder / "run.json").write_bytes(content)
    assert place.load() is None


def test_an_unfinished_run_is_continued_and_any_other_begins_anew(place: Workspace) -> None:
    first, continued = place.begin_or_continue("job", NOON)
    assert (first.status, first.identity, continued) == (RUNNING, "job", False)
    assert place.begin_or_continue("job", Clock()) == (first, True)
    other, continued = place.begin_or_continue("another job", Clock())
    assert (other.run_id != first.run_id, continued) == (True, False)
    place.save(replace(other, status=PUBLISHED))
    assert place.begin_or_continue("another job", Clock())[1] is False


def test_the_effort_of_all_executions_adds_up() -> None:
    record = RunRecord("run-1", "job", RUNNING, 0.0).after(10, 1, 0, 2.0).after(5, 0, 2, 1.0)
    assert (record.requests, record.retries, record.throttled, record.seconds) == (15, 1, 2, 3.0)


def test_a_record_that_cannot_be_saved_is_a_matter_of_the_disk(tmp_path: Path) -> None:
    with pytest.raises(DiskError, match=r"run.json: .*run again"):
        Workspace(tmp_path / "gone", tmp_path / "out.parquet").save(RunRecord("run-1", "job", RUNNING, 0.0))


def test_a_second_run_is_turned_away_with_the_name_of_the_first(place: Workspace) -> None:
    with pytest.raises(LockedError, match=f"in use by process {os.getpid()} on ") as caught, place.locked():
        pass
    assert caught.value.exit_status == 75
    assert f"process {os.getpid()}" in (place.holder() or "")


@pytest.mark.usefixtures("place")
def test_the_lock_is_free_again_afterwards_even_after_a_failure(tmp_path: Path) -> None:
    other = workspace(tmp_path / "state", tmp_path / "other.parquet")
    with pytest.raises(ValueError, match="some"), other.locked():
        raise ValueError("some failure")
    assert other.holder() is None
    with other.locked():
        assert other.holder() is not None
    assert workspace(tmp_path / "state", tmp_path / "third.parquet").holder() is None


def test_two_ways_to_one_output_have_one_lock(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    state = tmp_path / "state"
    one, two = (workspace(state, tmp_path / way / "out.parquet") for way in ("real", "link"))
    assert one == two
    assert workspace(state, tmp_path / "out.parquet") != one


def test_all_of_the_state_is_for_its_owners_eyes_only(place: Workspace, tmp_path: Path) -> None:
    place.save(RunRecord("run-1", "job", RUNNING, 0.0))
    for path in [tmp_path / "state", *(tmp_path / "state").rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_a_lock_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    place = workspace(tmp_path / "state", tmp_path / "out.parquet")
    place.folder.mkdir(parents=True)
    (tmp_path / "victim").write_text("precious")
    (place.folder / "lock").symlink_to(tmp_path / "victim")
    with pytest.raises(CannotCreateError, match=r"check state\.dir"), place.locked():
        pass
    assert (tmp_path / "victim").read_text() == "precious"


@pytest.mark.parametrize("state", ["file", "file/state"])
def test_a_state_directory_that_cannot_be_is_found_without_making_anything(
    tmp_path: Path, state: str
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CannotCreateError, match=r"file: is no folder; check state\.dir"):
        ensure_state(tmp_path / state)
    ensure_state(tmp_path / "new" / "state")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_stamp_changes_with_the_output(tmp_path: Path) -> None:
    path = tmp_path / "out.parquet"
    assert whole_stamp(path) == ""
    path.write_text("one")
    first = whole_stamp(path)
    assert first == whole_stamp(path) != ""
    path.write_text("another")
    assert whole_stamp(path) != first


def test_a_folders_stamp_knows_all_its_files(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    seen = {whole_stamp(tmp_path / "out")}
    for name in ("a", "b"):
        (tmp_path / "out" / name).touch()
        seen.add(whole_stamp(tmp_path / "out"))
    (tmp_path / "out" / "a").unlink()
    seen.add(whole_stamp(tmp_path / "out"))
    assert len(seen) == 4


def test_a_run_id_sorts_by_time_and_tells_it() -> None:
    assert new_run_id(NOON) == "20251124-160000-8000"
    assert new_run_id(Clock(wall=lambda: 1_764_000_001.0)) > new_run_id(NOON)
