"""Find the rows that repeat an earlier row's key, in bounded memory.

Keys are hashed into buckets by their first bytes; all rows with one key are in one bucket, so each bucket is
searched alone. Buckets are files, because the keys of 100 million rows take 1.6 GB; only one bit per row stays
in memory.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import polars as pl
import pyarrow as pa

ROWS_PER_BUCKET = 100_000
"""Takes about 10 MB of memory while a bucket is searched."""

MOST_HELD = 131_072
"""Number of keys that are buffered, in about 5 MB, before they are appended to the bucket files."""

ROWS_AT_ONCE = 4_096

ROW = "row"
KEY = "key"


class Duplicates:
    """Collects keys in row order, then finds the rows that are duplicates.

    A context manager: its bucket files are removed at the end of the block.

    Attributes:
        rows: Number of rows of the input.
        rows_held: Number of keys that are buffered in memory.
    """

    def __init__(
        self, folder: Path, rows: int, rows_per_bucket: int = ROWS_PER_BUCKET, most_held: int = MOST_HELD
    ) -> None:
        """Prepare for an input of *rows* rows; bucket files go to *folder*."""
        self.rows = rows
        self._folder, self._most_held = folder, most_held
        self._count = rows // rows_per_bucket + 1
        self._held: list[pl.DataFrame] = []
        self.rows_held = 0
        self._bits = bytearray()

    def __enter__(self) -> Self:
        self._clear()  # of a run that was killed
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._clear()

    def add(self, first_row: int, keys: pa.Array) -> None:
        """Add the *keys* (binary, 16 bytes; null for a row without text) of the rows from *first_row* on."""
        frame = pl.DataFrame(
            {
                ROW: pl.int_range(first_row, first_row + len(keys), eager=True),
                KEY: pl.Series(keys.cast(pa.binary())),
            }
        ).drop_nulls(KEY)
        self._held.append(frame)
        self.rows_held += len(frame)
        if self._count > 1 and self.rows_held >= self._most_held:
            self._flush()

    def add_all(self, keys: Iterable[pa.Array]) -> None:
        """Add the keys of all rows of the input, in order; many arrays of few keys cost no more than a few of many."""
        first_row, waiting, rows = 0, list[pa.Array](), 0
        for some in keys:
            waiting.append(some)
            rows += len(some)
            if rows >= ROWS_AT_ONCE:
                self.add(first_row, pa.concat_arrays(waiting))
                first_row, waiting, rows = first_row + rows, [], 0
        if waiting:
            self.add(first_row, pa.concat_arrays(waiting))

    def finish(self) -> None:
        """Search all buckets; `among` may be called afterwards."""
        self._bits = bytearray(self.rows // 8 + 1)
        if self._count > 1:
            self._flush()
        for number in range(self._count):
            frames = list(self._frames(number))
            if not frames:
                continue
            frame = pl.concat(frames, rechunk=True)
            for row in frame.filter(~frame[KEY].is_first_distinct())[ROW]:
                self._bits[row >> 3] |= 1 << (row & 7)
        self._held = []

    def among(self, first_row: int, count: int) -> pa.BooleanArray:
        """Return whether each of the *count* rows from *first_row* on is a duplicate."""
        start = first_row >> 3
        stop = ((first_row + count - 1) >> 3) + 1
        buffer = pa.py_buffer(bytes(self._bits[start:stop]))
        bits = pa.BooleanArray.from_buffers(pa.bool_(), (stop - start) * 8, [None, buffer], null_count=0)
        return bits.slice(first_row & 7, count)

    def _clear(self) -> None:
        for path in self._folder.glob(".keys-*"):
            path.unlink()

    def _frames(self, number: int) -> Iterator[pl.DataFrame]:
        if (path := self._path(number)).exists():
            with path.open("rb") as file:
                while file.peek(1):  # each flush appended a stream of its own
                    yield pl.DataFrame(pa.ipc.open_stream(file).read_all())
        yield from self._held  # empty, unless there is only one bucket

    def _flush(self) -> None:
        """Append the buffered keys to the bucket files."""
        if not self._held:
            return
        frame = pl.concat(self._held)
        bucket = frame[KEY].bin.slice(0, 4).bin.reinterpret(dtype=pl.UInt32, endianness="big") % self._count
        for (number,), some in frame.with_columns(bucket=bucket).partition_by("bucket", as_dict=True).items():
            with self._path(int(str(number))).open("ab") as file:
                some.drop("bucket").write_ipc_stream(file)
        self._held, self.rows_held = [], 0

    def _path(self, number: int) -> Path:
        return self._folder / f".keys-{number}"
