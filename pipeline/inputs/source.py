"""What a survey knows about the input: its files, their rows, where the rows are, and whether they changed."""

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from pipeline.config import CsvSettings
from pipeline.errors import InputDataError
from pipeline.records import Span


@dataclass(frozen=True, slots=True)
class Block:
    """Rows of a file that are stored together: a Parquet row group, or some MiB of whole CSV records.

    Attributes:
        first: Number of its first row, within the file from 0.
        rows: Number of rows.
        offset: Parquet: number of the row group. CSV: where it begins in the file's text as UTF-8, in bytes.
        size: Bytes, decoded.
    """

    first: int
    rows: int
    offset: int
    size: int

    @property
    def stop(self) -> int:
        """One past its last row, within the file."""
        return self.first + self.rows


@dataclass(frozen=True, slots=True)
class Stamp:
    """What the file system tells about a file; another stamp means other bytes."""

    size: int
    mtime_ns: int
    inode: int

    @classmethod
    def of(cls, path: Path) -> "Stamp":
        """Ask the file system; raises OSError where there is no such file."""
        found = os.stat(path)  # noqa: PTH116 - Path.stat is the same call behind one more frame
        return cls(found.st_size, found.st_mtime_ns, found.st_ino)


@dataclass(frozen=True, slots=True)
class Contents:
    """What one file turned out to hold.

    Attributes:
        schema: Its columns.
        blocks: Where its rows are, in row order.
        digest: What identifies the bytes beyond their stamp and how they are read; may be empty.
    """

    schema: pa.Schema
    blocks: tuple[Block, ...]
    digest: str = ""


@dataclass(frozen=True, slots=True)
class InputFile:
    """One file of the input.

    Attributes:
        path: Where it is.
        name: Its path relative to the folder that was given, with `/`; for a single file its file name.
        format: `parquet` or `csv`.
        rows: Number of rows.
        fingerprint: Identity of its bytes, whatever its name: changes when they change.
        first_row: `row_index` of its first row, counted over the whole input.
        blocks: Where its rows are, in row order.
        stamp: What the file system said at the survey.
    """

    path: Path
    name: str
    format: str
    rows: int
    fingerprint: str
    first_row: int
    blocks: tuple[Block, ...]
    stamp: Stamp


@dataclass(frozen=True, slots=True)
class Source:
    """The whole input, checked.

    Attributes:
        files: In order of their names; row indices run through them.
        schema: All columns of the table, with the first file's metadata; of a CSV each is a string.
        rows: Number of rows of all files.
        single: Whether a file was given, rather than a folder or a glob.
        fingerprint: Identity of all bytes in order.
        csv: How CSV files are to be read.
    """

    files: tuple[InputFile, ...]
    schema: pa.Schema
    rows: int
    single: bool
    fingerprint: str
    csv: CsvSettings


class Table(Protocol):
    """An open file, whatever its format."""

    def batches(
        self, block: Block, columns: Sequence[str] | None, *, max_rows: int, max_bytes: int
    ) -> Iterator[pa.RecordBatch]:
        """The rows of a block in order, at most `max_rows` and about `max_bytes` at a time.

        Blocks are asked for in row order; `columns` None means all of them.
        """


class Format(Protocol):
    """How files of one format are looked into and read."""

    def inspect(self, path: Path, settings: CsvSettings) -> Contents:
        """Look into a file and check all that can be checked before it is read for good.

        Raises InputDataError, with one line for the user.
        """

    def open_table(
        self, path: Path, settings: CsvSettings, names: Sequence[str]
    ) -> AbstractContextManager[Table]:
        """Open a file whose columns, in order, are `names`."""


def fingerprint(*parts: object) -> str:
    """32 hexadecimal digits that stand for `parts`."""
    return blake2b(repr(parts).encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()


def whole(source: Source) -> list[Span]:
    """One span per file that has rows: all that there is to do at first."""
    return [Span(n, 0, file.rows, file.first_row) for n, file in enumerate(source.files) if file.rows]


def ensure_unchanged(source: Source) -> None:
    """Make sure that the files are still those of the survey.

    Raises InputDataError naming every file whose size, time or inode differ, or that is gone.
    """
    problems = [problem for file in source.files if (problem := _change(file))]
    if problems:
        raise InputDataError(*problems)


def _change(file: InputFile) -> str | None:
    try:
        same = Stamp.of(file.path) == file.stamp
    except OSError as error:
        return (
            f"{file.path}: was there when the run began and cannot be read now ({error.strerror}); run again"
        )
    return None if same else f"{file.path}: changed while the run was reading it; run again"
