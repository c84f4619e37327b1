"""The local disk behind the verbs: what they promise of listing, stamps, and replacing a file or a folder whole."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import storage
from pipeline.storage.local import exchange


class Refused(Exception):  # noqa: N818 - stands for whatever keeps an output from appearing
    """Raised right before a rename."""


def refuse() -> None:
    raise Refused


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


WATCH = """
import os, sys
sys.stdout.write("ready\\n"); sys.stdout.flush()
print(sum(not os.path.exists(sys.argv[1]) for _ in range(200_000)))
"""


def test_two_folders_swap_names_at_one_instant(tmp_path: Path) -> None:
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
    watcher = subprocess.Popen(
        [sys.executable, "-c", WATCH, str(tmp_path / "old")], stdout=subprocess.PIPE, text=True
    )  # fmt: skip
    assert watcher.stdout
    watcher.stdout.readline()
    while watcher.poll() is None:
        exchange(tmp_path / "new", tmp_path / "old")
    assert watcher.stdout.read().split() == ["0"]
    watcher.stdout.close()


@pytest.mark.parametrize("is_there", [False, True])
def test_a_folder_is_replaced_with_all_that_is_in_it(tmp_path: Path, *, is_there: bool) -> None:
    place = tmp_path / "days"
    if is_there:
        place.mkdir()
        (place / "old").write_bytes(b"")
    with storage.replacing_folder(place) as temporary:
        storage.make_folder(temporary / "deep")
        (temporary / "deep" / "new").write_bytes(b"1")
        assert is_there == place.exists()
    assert storage.files_below(place) == [place / "deep" / "new"]
    assert names(tmp_path) == ["days"]


def test_what_is_refused_at_the_last_instant_leaves_the_old_and_no_litter(tmp_path: Path) -> None:
    (tmp_path / "days").mkdir()
    (tmp_path / "table").write_bytes(b"old")
    with (
        pytest.raises(Refused),
        storage.replacing_folder(tmp_path / "days", before_rename=refuse) as folder,
    ):
        (folder / "new").write_bytes(b"new")
    with pytest.raises(Refused), storage.replacing(tmp_path / "table", before_rename=refuse) as file:
        file.write_bytes(b"new")
    assert names(tmp_path) == ["days", "table"]
    assert names(tmp_path / "days") == []
    assert (tmp_path / "table").read_bytes() == b"old"


def test_other_bytes_have_another_stamp(tmp_path: Path) -> None:
    path = tmp_path / "table"
    path.write_bytes(b"12")
    os.utime(path, ns=(0, 0))
    first = storage.stamp(path)
    assert storage.stamp(path) == first
    path.write_bytes(b"34")
    assert storage.stamp(path) != first
    os.utime(path, ns=(0, 0))
    path.rename(tmp_path / "aside")  # or its inode might be given again
    path.write_bytes(b"12")
    os.utime(path, ns=(0, 0))
    assert storage.stamp(path) != first


def test_python_and_arrow_read_the_same_ranges(tmp_path: Path) -> None:
    path = tmp_path / "table"
    path.write_bytes(bytes(range(100)))
    with storage.open_file(path) as file, storage.open_arrow(path) as arrow:
        for opened in (file, arrow):
            opened.seek(40)
            assert opened.read(3) == bytes([40, 41, 42])
