"""Publishing: the input's columns and the new ones side by side, and no reader ever sees half of it."""

import os
import threading
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipeline.errors import InterruptedRunError
from pipeline.outputs.columns import output_names
from pipeline.outputs.destination import RUN_METADATA_KEY
from pipeline.outputs.parts import DamagedPartError
from tests.outputs.publish_job import FolderPublishJob, PublishJob


def test_the_file_names_its_run_and_keeps_the_inputs_metadata(tmp_path: Path) -> None:
    job = PublishJob(tmp_path)
    job.publish()
    schema = pq.read_schema(job.path)
    assert schema.metadata[RUN_METADATA_KEY] == b"run-1"
    assert schema.metadata[b"owner"] == b"a team"
    assert schema.names == ["n", "text", *output_names("single", "")]


def test_columns_of_an_earlier_output_give_way_to_the_new_ones(tmp_path: Path) -> None:
    job = PublishJob(tmp_path)
    job.publish()
    earlier = pq.read_table(job.path)
    job.table = earlier.select(["n", "text"])
    job.publish()
    assert pq.read_schema(job.path).names == earlier.column_names


def test_an_input_without_rows_becomes_a_file_without_rows(tmp_path: Path) -> None:
    job = PublishJob(tmp_path, rows=0)
    job.publish()
    assert pq.read_table(job.path).num_rows == 0


def test_a_damaged_part_stops_publishing_and_leaves_the_old_output(tmp_path: Path) -> None:
    job = PublishJob(tmp_path)
    job.publish()
    before = job.path.read_bytes()
    path = sorted(job.parts.folder.iterdir())[1]
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DamagedPartError):
        job.publish()
    assert job.path.read_bytes() == before
    assert [path.name for path in job.path.parent.iterdir()] == ["labelled.parquet"]


def test_stopping_leaves_the_old_output_and_no_temporary_files(tmp_path: Path) -> None:
    job = PublishJob(tmp_path)

    def stop() -> None:
        raise InterruptedRunError("enough")

    with pytest.raises(InterruptedRunError):
        job.publish(ensure_running=stop)
    assert [path.name for path in job.path.parent.iterdir()] == []
    assert [path.name for path in job.parts.folder.parent.iterdir()] == ["parts"]


def test_temporary_files_of_a_killed_run_are_removed(tmp_path: Path) -> None:
    job = PublishJob(tmp_path)
    job.path.parent.mkdir()
    left = job.path.with_name(".labelled.parquet.999999999.tmp")
    others = job.path.with_name(f".labelled.parquet.{os.getppid()}.tmp")
    for path in (left, others):
        path.write_bytes(b"half an output")
    job.publish()
    assert not left.exists()
    assert others.exists()  # its process is alive and may be writing it


def test_the_umask_decides_who_may_read_the_output(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        job = PublishJob(tmp_path)
        job.publish()
    finally:
        os.umask(before)
    assert job.path.stat().st_mode & 0o777 == 0o600


def test_a_folder_is_replaced_whole_and_old_files_are_gone(tmp_path: Path) -> None:
    job = FolderPublishJob(tmp_path)
    job.publish()
    (job.path / "old.parquet").write_bytes(b"of yesterday")
    job.publish()
    files = sorted(str(path.relative_to(job.path)) for path in job.path.rglob("*") if path.is_file())
    assert files == ["a.parquet", "deep/er/b.parquet"]
    assert [path.name for path in job.path.parent.iterdir()] == ["labelled.parquet"]


@pytest.mark.parametrize("kind", [PublishJob, FolderPublishJob])
def test_a_reader_finds_a_whole_output_at_every_instant(tmp_path: Path, kind: type[PublishJob]) -> None:
    job = kind(tmp_path, rows=300, cuts=(50, 100, 200))
    job.publish()
    failures: list[Exception] = []
    reads = 0
    done = threading.Event()

    def read() -> None:
        nonlocal reads
        while not done.is_set():
            try:
                file = job.path if kind is PublishJob else job.path / "deep/er/b.parquet"
                with file.open("rb") as opened:
                    assert pq.read_table(opened).num_rows == 300
                reads += 1
            except Exception as error:  # noqa: BLE001 - whatever it is, it fails the test
                failures.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    while reads < 15 and not failures:
        job.publish()
    done.set()
    reader.join()
    assert failures == []
