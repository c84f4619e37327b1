"""Find the rows that repeat an earlier row's key, in bounded memory.

Keys are hashed into buckets by their first bytes; all rows with one key are in one bucket, so each bucket is
searched alone. Buckets are files, because the keys of 100 million rows take 1.6 GB; only one bit per row stays
in memory.
"""

from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

ROWS_PER_BUCKET = 100_000
"""Takes about 10 MB of memory while a bucket is searched."""

MOST_HELD = 131_072
"""Number of keys that are buffered, in about 5 MB, before they are appended to the bucket files."""

ROWS_AT_ONCE = 4_096

HALVES = np.dtype([("first", ">u8"), ("second", ">u8")])
"""A key as two numbers."""

ENTRY = np.dtype([*HALVES.descr, ("row", "<i8")])
"""A key and its row."""

Entries = NDArray[np.void]


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
        self._held: list[Entries] = []
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
        whole = keys.is_valid().to_numpy(zero_copy_only=False)
        entries = np.empty(np.count_nonzero(whole), ENTRY)
        if len(entries):
            halves = np.frombuffer(keys.buffers()[1], HALVES)[keys.offset : keys.offset + len(keys)][whole]
            entries["first"], entries["second"] = halves["first"], halves["second"]
            entries["row"] = first_row + np.flatnonzero(whole)
        self._held.append(entries)
        self.rows_held += len(entries)
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
        flags = np.frombuffer(self._bits, np.uint8)
        for number in range(self._count):
            entries = self._entries(number)
            # Sorting is stable, so that of equal keys the first row is the first.
            entries = entries[np.lexsort((entries["second"], entries["first"]))]
            again = np.logical_and(*(entries[half][1:] == entries[half][:-1] for half in ("first", "second")))
            rows = entries["row"][1:][again]
            np.bitwise_or.at(flags, rows >> 3, (1 << (rows & 7)).astype(np.uint8))
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

    def _entries(self, number: int) -> Entries:
        """Return a bucket, in row order."""
        path = self._path(number)
        filed = [np.fromfile(path, ENTRY)] if path.exists() else []
        # Nothing is held any more, unless there is only one bucket.
        return np.concatenate([*filed, *self._held, np.empty(0, ENTRY)])

    def _flush(self) -> None:
        """Append the buffered keys to the bucket files."""
        if not self._held:
            return
        entries = np.concatenate(self._held)
        buckets = entries["first"] % self._count
        order = np.argsort(buckets, kind="stable")
        numbers, starts = np.unique(buckets[order], return_index=True)
        for number, some in zip(numbers, np.split(entries[order], starts[1:]), strict=False):
            with self._path(int(number)).open("ab") as file:
                file.write(some.tobytes())
        self._held, self.rows_held = [], 0

    def _path(self, number: int) -> Path:
        return self._folder / f".keys-{number}"
