"""Find the rows that a table does not have yet, in bounded memory.

A table to which rows are appended has, for each key, those of the key's latest batch. The rows of a key are new unless
they are just these: the same number of them, and the same in the columns that count. Rows are compared by hashes of
their keys and of these columns, in buckets by the hash of the key, which are files: each bucket is compared alone, and
only one bit per row stays in memory.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

ROWS_PER_BUCKET = 100_000
"""Takes about 10 MB of memory while a bucket is compared, and more where the table has many batches."""

ENTRY = np.dtype([("first", "<u8"), ("second", "<u8"), ("content", "<u8"), ("order", "<i8")])
"""The two hashes of a row's key, that of its content, and its number: of the row, or of its batch."""

Entries = NDArray[np.void]


class Groups(NamedTuple):
    """The rows of each key: the key's two hashes, the sum of the hashes of its rows, and how many they are."""

    first: NDArray[np.uint64]
    second: NDArray[np.uint64]
    content: NDArray[np.uint64]
    rows: NDArray[np.int64]


class Changes:
    """Collects the rows that are to be in a table, then those that are in it, and tells which of the former are new.

    Attributes:
        rows: Number of rows that are to be in the table.
        new: How many of them are not in it yet, once `compare` was called.
        sharing: How many keys several of them have.
    """

    def __init__(self, folder: Path, rows: int, keys: Sequence[str], content: Sequence[str]) -> None:
        """Prepare for about so many *rows*; bucket files go to *folder*, which is empty but for others' files."""
        self.rows = self.new = self.sharing = 0
        self._folder, self._keys, self._content = folder, list(keys), list(content)
        self._count = rows // ROWS_PER_BUCKET + 1
        self._bits = bytearray()

    def add(self, table: pa.Table) -> None:
        """Add the next rows that are to be in the table."""
        self._file("new", self._entries(table, np.arange(self.rows, self.rows + table.num_rows)))
        self.rows += table.num_rows

    def compare(self, existing: Iterator[pa.Table], batch: str) -> None:
        """Find which rows are new, given those that are in the table, whose column *batch* has the number of their batch."""
        for path in self._folder.glob(".old-*"):
            path.unlink()
        for table in existing:
            self._file("old", self._entries(table, table[batch].to_numpy()))
        bits = np.zeros(self.rows // 8 + 1, np.uint8)
        self.new = self.sharing = 0
        for number in range(self._count):
            rows = self._new_rows(number)
            self.new += len(rows)
            np.bitwise_or.at(bits, rows >> 3, (1 << (rows & 7)).astype(np.uint8))
        self._bits = bytearray(bits)

    def among(self, first_row: int, count: int) -> pa.BooleanArray:
        """Return whether each of the *count* rows from *first_row* on is new."""
        start, stop = first_row >> 3, ((first_row + count - 1) >> 3) + 1
        buffer = pa.py_buffer(bytes(self._bits[start:stop]))
        bits = pa.BooleanArray.from_buffers(pa.bool_(), (stop - start) * 8, [None, buffer], null_count=0)
        return bits.slice(first_row & 7, count)

    def _entries(self, table: pa.Table, order: NDArray[np.int64]) -> Entries:
        entries = np.empty(table.num_rows, ENTRY)
        entries["order"] = order
        if table.num_rows:
            keys, content = (pl.DataFrame(table.select(names)) for names in (self._keys, self._content))
            for name, frame, seed in (("first", keys, 1), ("second", keys, 2), ("content", content, 3)):
                entries[name] = frame.hash_rows(seed).to_numpy()
        return entries

    def _file(self, kind: str, entries: Entries) -> None:
        """Append *entries* to the bucket files."""
        buckets = entries["first"] % self._count
        order = np.argsort(buckets, kind="stable")
        numbers, starts = np.unique(buckets[order], return_index=True)
        for number, some in zip(numbers, np.split(entries[order], starts[1:]), strict=False):
            with (self._folder / f".{kind}-{number}").open("ab") as file:
                file.write(some.tobytes())

    def _filed(self, kind: str, number: int) -> Entries:
        """Return a bucket in the order of its keys."""
        path = self._folder / f".{kind}-{number}"
        found = np.fromfile(path, ENTRY) if path.exists() else np.empty(0, ENTRY)
        return found[np.lexsort((found["order"], found["second"], found["first"]))]

    def _new_rows(self, number: int) -> NDArray[np.int64]:
        wanted, existing = self._filed("new", number), self._filed("old", number)
        groups, there = _grouped(wanted), _grouped(_latest(existing))
        self.sharing += int(np.count_nonzero(groups.rows > 1))
        is_new = np.repeat(~_are_among(groups, there), groups.rows)
        rows: NDArray[np.int64] = wanted["order"][is_new]
        return rows


def _starts(entries: Entries) -> NDArray[np.int64]:
    """Return where in sorted *entries* each key begins."""
    if not len(entries):
        return np.empty(0, np.int64)
    other = (entries["first"][1:] != entries["first"][:-1]) | (
        entries["second"][1:] != entries["second"][:-1]
    )
    return np.flatnonzero(np.concatenate([[True], other]))


def _latest(entries: Entries) -> Entries:
    """Return the *entries*, sorted by key and batch, that are of their key's latest batch."""
    starts = _starts(entries)
    if not len(starts):
        return entries
    counts = np.diff(np.append(starts, len(entries)))
    newest = np.repeat(entries["order"][starts + counts - 1], counts)
    latest: Entries = entries[entries["order"] == newest]
    return latest


def _grouped(entries: Entries) -> Groups:
    starts = _starts(entries)
    if not len(starts):
        none = np.empty(0, np.uint64)
        return Groups(none, none, none, np.empty(0, np.int64))
    content = np.add.reduceat(entries["content"], starts)  # a sum that wraps, whatever the order
    return Groups(
        entries["first"][starts],
        entries["second"][starts],
        content,
        np.diff(np.append(starts, len(entries))),
    )


def _are_among(wanted: Groups, existing: Groups) -> NDArray[np.bool_]:
    """Return which groups of *wanted* are in *existing*, just as they are."""
    kind = np.dtype([(name, "<u8") for name in Groups._fields])
    found = []
    for groups in (wanted, existing):
        packed = np.empty(len(groups.first), kind)
        for name, values in zip(Groups._fields, groups, strict=True):
            packed[name] = values
        found.append(packed)
    same: NDArray[np.bool_] = np.isin(found[0], found[1])
    return same
