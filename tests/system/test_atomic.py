"""Files are whole and on the disk, or not there."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipeline.system.atomic import make_private, replacing, sweep, write
from tests.jobs import environment


def test_a_block_that_ends_well_replaces_the_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_threads_may_write_to_one_path(tmp_path: Path) -> None:
    contents = {f"{number}".encode() * 999 for number in range(10)}
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda content: write(tmp_path / "file", content, durable=False), [*contents] * 20))
    assert (tmp_path / "file").read_bytes() in contents


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_block_that_fails_leaves_the_old_file_and_no_litter(
    tmp_path: Path, error: type[BaseException]
) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(error), replacing(path) as temporary:  # noqa: PT012 - the block is what is tested
        temporary.write_text("half")
        raise error
    assert path.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_written_file_is_for_its_owners_eyes_only_unless_told_otherwise(tmp_path: Path) -> None:
    write(tmp_path / "secret", b"1")
    write(tmp_path / "open", b"1", mode=0o644)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("secret", "open")] == [0o600, 0o644]


CALLS = """
import os
from pathlib import Path
from pipeline.system import atomic

calls = []
fsync, replace = os.fsync, os.replace
def noted(name, function):
    def call(*arguments, **options):
        kind = "folder" if name == "fsync" and os.path.isdir(f"/proc/self/fd/{arguments[0]}") else "file"
        calls.append(f"{name} {kind}")
        return function(*arguments, **options)
    return call
os.fsync, os.replace = noted("fsync", fsync), noted("replace", replace)
atomic.write(Path("file"), b"content")
print(", ".join(calls))
"""


def test_content_is_synced_before_the_rename_and_the_folder_after_it(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CALLS], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=True
    )  # fmt: skip
    assert done.stdout.strip() == "fsync file, replace file, fsync folder"


def test_folders_that_are_made_are_private_and_those_that_were_there_stay_as_they_are(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    make_private(tmp_path / "a" / "b")
    make_private(tmp_path / "a" / "b")
    modes = [path.stat().st_mode & 0o777 for path in (tmp_path, tmp_path / "a", tmp_path / "a" / "b")]
    assert modes == [0o755, 0o700, 0o700]


def test_only_what_dead_processes_left_of_this_very_file_is_swept_away(tmp_path: Path) -> None:
    dead = [".out.999999999.tmp", ".out.99999999999999999999.tmp"]
    kept = [
        f".out.{os.getpid()}.tmp",
        ".out.1.tmp",
        ".other.999999999.tmp",
        ".out.x.tmp",
        "out.999999999.tmp",
    ]
    for name in dead + kept:
        (tmp_path / name).touch()
    sweep(tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(kept)
