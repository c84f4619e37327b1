"""The destination of the output: free, ours, or someone else's."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import CannotCreateError
from pipeline.outputs.destination import RUN_METADATA_KEY, digest_of, ensure_creatable, is_ours, output_name


def put(path: Path, *, marked: bool) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = {RUN_METADATA_KEY: b"run-1"} if marked else {}
    pq.write_table(pa.table({"a": [1]}).replace_schema_metadata(metadata), path)
    return path


def test_a_free_destination_gets_its_folder_and_stays_free(tmp_path: Path) -> None:
    ensure_creatable(tmp_path / "new" / "out.parquet", single=True, overwrite=False)
    assert list((tmp_path / "new").iterdir()) == []


def test_our_own_earlier_output_may_be_replaced(tmp_path: Path) -> None:
    ensure_creatable(put(tmp_path / "out.parquet", marked=True), single=True, overwrite=False)


@pytest.mark.parametrize("content", ["parquet", "text", "empty"])
def test_a_file_that_is_not_ours_is_kept_unless_overwriting_is_allowed(tmp_path: Path, content: str) -> None:
    path = tmp_path / "out.parquet"
    if content == "parquet":
        put(path, marked=False)
    else:
        path.write_text("precious" if content == "text" else "")
    before = path.read_bytes()
    with pytest.raises(CannotCreateError, match=r"is not ours; move it away or use --overwrite") as caught:
        ensure_creatable(path, single=True, overwrite=False)
    assert caught.value.exit_status == 73
    assert path.read_bytes() == before
    ensure_creatable(path, single=True, overwrite=True)


def test_a_folder_is_ours_if_all_its_files_are(tmp_path: Path) -> None:
    put(tmp_path / "out" / "a.parquet", marked=True)
    put(tmp_path / "out" / "deep" / "b.parquet", marked=True)
    assert is_ours(tmp_path / "out")
    (tmp_path / "out" / "notes.txt").write_text("precious")
    with pytest.raises(CannotCreateError, match="is not ours"):
        ensure_creatable(tmp_path / "out", single=False, overwrite=False)


def test_an_empty_folder_may_become_the_output_folder(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    ensure_creatable(tmp_path / "out", single=False, overwrite=False)


def test_a_folder_in_the_way_of_a_file_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "out.parquet").mkdir()
    with pytest.raises(CannotCreateError, match="is a folder"):
        ensure_creatable(tmp_path / "out.parquet", single=True, overwrite=True)


def test_a_file_in_the_way_of_a_folder_is_never_replaced(tmp_path: Path) -> None:
    put(tmp_path / "out", marked=True)
    with pytest.raises(CannotCreateError, match="is a file; the input is a folder"):
        ensure_creatable(tmp_path / "out", single=False, overwrite=True)


def test_a_parent_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CannotCreateError, match=r"cannot be written: .*; check output\.path"):
        ensure_creatable(tmp_path / "file" / "out.parquet", single=True, overwrite=False)


def test_a_name_that_is_too_long_is_no_bug(tmp_path: Path) -> None:
    with pytest.raises(CannotCreateError, match="cannot be written"):
        ensure_creatable(tmp_path / ("x" * 300 + ".parquet"), single=True, overwrite=False)


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "read-only"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "ro,size=1m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a folder that root cannot write")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_folder_that_cannot_be_written_is_found_at_once(read_only: Path) -> None:
    with pytest.raises(CannotCreateError, match="Read-only file system"):
        ensure_creatable(read_only / "out.parquet", single=True, overwrite=False)


@pytest.mark.parametrize(
    ("name", "form", "wanted"),
    [
        ("a.parquet", "parquet", "a.parquet"),
        ("a.csv", "parquet", "a.parquet"),
        ("a.csv.gz", "parquet", "a.parquet"),
        ("2026.11.csv", "parquet", "2026.11.parquet"),
        ("deep/a.tsv", "parquet", "deep/a.parquet"),
        ("deep/a.parquet", "csv.gz", "deep/a.csv.gz"),
        ("a.csv.gz", "jsonl", "a.jsonl"),
    ],
)
def test_an_output_file_is_named_after_its_input(name: str, form: str, wanted: str) -> None:
    assert output_name(name, form) == wanted


def test_a_file_that_cannot_say_so_is_ours_by_its_content(tmp_path: Path) -> None:
    for path in (tmp_path / "a.csv", tmp_path / "folder" / "deep" / "b.csv"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("a\n1\n")
    for path in (tmp_path / "a.csv", tmp_path / "folder"):
        digest = digest_of(path)
        assert not is_ours(path)
        assert is_ours(path, ["another", digest])
        assert not is_ours(path, ["another"])
    (tmp_path / "a.csv").rename(tmp_path / "c.csv")
    assert digest_of(tmp_path / "c.csv") != digest_of(tmp_path / "folder")
    (tmp_path / "folder" / "deep" / "b.csv").rename(tmp_path / "folder" / "deep" / "c.csv")
    assert not is_ours(tmp_path / "folder", [digest])
