"""Publishing: the input's columns and the new ones side by side, and no reader ever sees half of it."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import InterruptedRunError
from pipeline.outputs.columns import output_names, part_schema
from pipeline.outputs.destination import OURS
from pipeline.outputs.join import OutputFile
from pipeline.outputs.parts import DamagedPartError, Parts
from pipeline.outputs.publish import Publication, exchange, publish
from pipeline.outputs.tally import Tally
from pipeline.records import Span
from tests.answers import part


def spans_of(cuts: Sequence[int], rows: int, file: int = 0, first_row: int = 0) -> list[Span]:
    edges = sorted({0, rows, *(cut for cut in cuts if cut < rows)})
    return [Span(file, start, stop, first_row + start) for start, stop in pairwise(edges)]


class Press:
    """A job to publish in a folder of its own: an input in memory, and its parts."""

    def __init__(
        self,
        folder: Path,
        rows: int = 100,
        cuts: Sequence[int] = (40,),
        batch_rows: int = 33,
        kind: str = "single",
    ) -> None:
        self.path = folder / "out" / "labelled.parquet"
        self.table = pa.table({"n": range(rows), "text": [f"row {n}" for n in range(rows)]})
        self.batch_rows, self.kind = batch_rows, kind
        self.parts = Parts(folder / "state" / "parts", "run-1", part_schema(kind))
        self.parts.folder.mkdir(parents=True)
        self.spans = spans_of(cuts, rows)
        for span in self.spans:
            self.parts.write(span, part(range(span.start, span.stop), kind))

    def batches(self) -> Iterator[pa.RecordBatch]:
        yield from self.table.to_batches(max_chunksize=self.batch_rows)

    def output_file(self, name: str = "") -> OutputFile:
        return OutputFile(
            name, self.table.schema.with_metadata({"owner": "a team"}), self.batches, self.spans
        )

    def publication(self, prefix: str = "") -> Publication:
        return Publication(
            self.path, [self.output_file()], len(self.table), self.kind, prefix, {OURS: b"run-1"}, single=True
        )

    def print(self, go_on: Callable[[], None] = lambda: None, **changes: int) -> Tally:
        tally = Tally("run-1")
        publish(replace(self.publication(), **changes), self.parts, tally, go_on=go_on)
        return tally


@given(
    rows=st.integers(1, 60),
    cuts=st.lists(st.integers(1, 60), max_size=5),
    batch_rows=st.integers(1, 70),
)
@settings(max_examples=25, deadline=None)
def test_every_row_meets_its_own_part_however_both_are_cut(
    tmp_path_factory: pytest.TempPathFactory, rows: int, cuts: list[int], batch_rows: int
) -> None:
    press = Press(tmp_path_factory.mktemp("job"), rows, cuts, batch_rows)
    press.parts.write(press.spans[0], part([None, *range(1, press.spans[0].stop)]))  # row 0 differs from all
    tally = press.print()
    read = pq.read_table(press.path)
    assert read.select(["n", "text"]).equals(press.table)
    assert read.column("label_status").to_pylist() == ["empty", *["ok"] * (rows - 1)]
    assert tally.rows == rows


@given(
    kind=st.sampled_from(["single", "multi"]),
    numbers=st.lists(st.none() | st.integers(0, 9), min_size=1, max_size=60),
    cuts=st.lists(st.integers(1, 60), max_size=5),
    batch_rows=st.integers(1, 70),
    group_rows=st.integers(1, 30),
)
@settings(max_examples=40, deadline=None)
def test_every_row_of_every_row_group_has_its_labels_and_is_counted(
    tmp_path_factory: pytest.TempPathFactory,
    kind: str,
    numbers: list[int | None],
    cuts: list[int],
    batch_rows: int,
    group_rows: int,
) -> None:
    press = Press(tmp_path_factory.mktemp("job"), len(numbers), cuts, batch_rows, kind)
    for span in press.spans:
        press.parts.write(span, part(numbers[span.start : span.stop], kind))
    tally = press.print(row_group_rows=group_rows)
    read = pq.read_table(press.path)
    firsts = {number: row for row, number in reversed(list(enumerate(numbers))) if number is not None}
    sources = [
        "none" if number is None else "model" if firsts[number] == row else "duplicate"
        for row, number in enumerate(numbers)
    ]
    label = "games" if kind == "single" else ["games"]
    assert read.select(["n", "text"]).equals(press.table)
    assert read.column("label" if kind == "single" else "labels").to_pylist() == [
        None if number is None else label for number in numbers
    ]
    assert read.column("label_source").to_pylist() == sources
    assert read.column("prompt_tokens").to_pylist() == [100 * (source == "model") for source in sources]
    assert pq.read_metadata(press.path).num_row_groups > len(numbers) // (group_rows + 70)
    assert (tally.rows, tally.duplicates) == (len(numbers), sources.count("duplicate"))
    assert tally.prompt_tokens == 100 * sources.count("model")
    assert tally.labels["games"] == len(numbers) - sources.count("none")


def test_the_file_names_its_run_and_keeps_the_inputs_metadata(tmp_path: Path) -> None:
    press = Press(tmp_path)
    press.print()
    schema = pq.read_schema(press.path)
    assert schema.metadata[OURS] == b"run-1"
    assert schema.metadata[b"owner"] == b"a team"
    assert schema.names == ["n", "text", *output_names("single", "")]


def test_columns_of_an_earlier_output_give_way_to_the_new_ones(tmp_path: Path) -> None:
    press = Press(tmp_path)
    press.print()
    earlier = pq.read_table(press.path)
    press.table = earlier.select(["n", "text"])
    press.print()
    assert pq.read_schema(press.path).names == earlier.column_names


def test_an_input_without_rows_becomes_a_file_without_rows(tmp_path: Path) -> None:
    press = Press(tmp_path, rows=0)
    press.print()
    assert pq.read_table(press.path).num_rows == 0


def test_a_damaged_part_stops_publishing_and_leaves_the_old_output(tmp_path: Path) -> None:
    press = Press(tmp_path)
    press.print()
    before = press.path.read_bytes()
    path = sorted(press.parts.folder.iterdir())[1]
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DamagedPartError):
        press.print()
    assert press.path.read_bytes() == before
    assert [path.name for path in press.path.parent.iterdir()] == ["labelled.parquet"]


def test_stopping_leaves_the_old_output_and_no_temporary_files(tmp_path: Path) -> None:
    press = Press(tmp_path)

    def stop() -> None:
        raise InterruptedRunError("enough")

    with pytest.raises(InterruptedRunError):
        press.print(go_on=stop)
    assert [path.name for path in press.path.parent.iterdir()] == []
    assert [path.name for path in press.parts.folder.parent.iterdir()] == ["parts"]


def test_temporary_files_of_a_killed_run_are_removed(tmp_path: Path) -> None:
    press = Press(tmp_path)
    press.path.parent.mkdir()
    left = press.path.with_name(".labelled.parquet.999999999.tmp")
    others = press.path.with_name(f".labelled.parquet.{os.getppid()}.tmp")
    for path in (left, others):
        path.write_bytes(b"half an output")
    press.print()
    assert not left.exists()
    assert others.exists()  # its process is alive and may be writing it


def test_the_umask_decides_who_may_read_the_output(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        press = Press(tmp_path)
        press.print()
    finally:
        os.umask(before)
    assert press.path.stat().st_mode & 0o777 == 0o600


class Library(Press):
    """Two files to publish into a folder."""

    def publication(self, prefix: str = "") -> Publication:
        files = [self.output_file("a.parquet"), self.output_file("deep/er/b.parquet")]
        return Publication(
            self.path, files, len(self.table), self.kind, prefix, {OURS: b"run-1"}, single=False
        )


def test_a_folder_is_replaced_whole_and_old_files_are_gone(tmp_path: Path) -> None:
    press = Library(tmp_path)
    press.print()
    (press.path / "old.parquet").write_bytes(b"of yesterday")
    press.print()
    files = sorted(str(path.relative_to(press.path)) for path in press.path.rglob("*") if path.is_file())
    assert files == ["a.parquet", "deep/er/b.parquet"]
    assert [path.name for path in press.path.parent.iterdir()] == ["labelled.parquet"]


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


@pytest.mark.parametrize("kind", [Press, Library])
def test_a_reader_finds_a_whole_output_at_every_instant(tmp_path: Path, kind: type[Press]) -> None:
    press = kind(tmp_path, rows=300, cuts=(50, 100, 200))
    press.print()
    failures: list[Exception] = []
    reads = 0
    done = threading.Event()

    def read() -> None:
        nonlocal reads
        while not done.is_set():
            try:
                file = press.path if kind is Press else press.path / "deep/er/b.parquet"
                with file.open("rb") as opened:
                    assert pq.read_table(opened).num_rows == 300
                reads += 1
            except Exception as error:  # noqa: BLE001 - whatever it is, it fails the test
                failures.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    while reads < 15 and not failures:
        press.print()
    done.set()
    reader.join()
    assert failures == []
