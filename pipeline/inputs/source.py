"""The surveyed input: its files, where their rows are, and whether they have changed since."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pyarrow as pa

from pipeline import storage
from pipeline.config import CsvSettings
from pipeline.errors import InputDataError, NoInputError
from pipeline.inputs.folders import Partitions
from pipeline.records import Span
from pipeline.system.places import Place

if TYPE_CHECKING:  # few inputs need them, and one imports polars
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.inputs.where.expression import Where


@dataclass(frozen=True, slots=True)
class Block:
    """Rows that are stored together: a Parquet row group.

    Attributes:
        first: Number of its first row, counted within the file from 0.
        rows: Number of rows.
        offset: Number of the row group.
        size: Number of bytes, uncompressed.
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
class Contents:
    """The contents of one file, as an inspection found them.

    Attributes:
        schema: Its columns.
        blocks: The blocks that hold its rows, in row order.
        digest: Identifies the bytes, beyond their stamp, and how they are read; may be empty.
    """

    schema: pa.Schema
    blocks: tuple[Block, ...]
    digest: str = ""


@dataclass(frozen=True, slots=True)
class LiveFile:
    """A Parquet file as its Delta table has it: what the table's log says beyond what is in the file.

    Attributes:
        version: The version of the table.
        schema: The columns of the table, which may have been renamed, widened or added since the file was written.
        stored: The name in the file of each column that files hold.
        values: The columns that files do not hold, each with the one value that all rows of the file have.
        deleted: The rows of the file that were deleted, by their number in the file, in order.
    """

    version: int
    schema: pa.Schema
    stored: Mapping[str, str]
    values: Mapping[str, pa.Array]
    deleted: "NDArray[np.int64]"


class GoneError(NoInputError):
    """A version of a Delta table cannot be read any more: VACUUM has removed files of it."""


@dataclass(frozen=True, slots=True)
class InputFile:
    """One file of the input.

    Attributes:
        path: The Parquet file that is read: the user's own, or the copy of it, which may have to be made again.
        origin: The user's file.
        name: Its path relative to the given folder, with `/`; for a single file its file name.
        format: Format of the user's file.
        rows: Number of rows.
        fingerprint: Identifies its bytes, whatever its name; changes when they change.
        first_row: Its first row, counted over the whole input.
        blocks: The blocks that hold its rows, in row order.
        stamp: The stamp of the user's file at the time of the survey.
        schema: Its own columns, as they are in it, with its own metadata.
        partitions: Its columns that are in its path, by name, with the value that all its rows have.
        all_blocks: The blocks with all of their rows, if those that do not match a condition are left out of `blocks`.
        live: What the log of its Delta table says about it.
    """

    path: Place
    origin: Place
    name: str
    format: str
    rows: int
    fingerprint: str
    first_row: int
    blocks: tuple[Block, ...]
    stamp: storage.Stamp
    schema: pa.Schema
    partitions: Partitions
    all_blocks: tuple[Block, ...] | None = None
    live: LiveFile | None = field(default=None, compare=False)

    @property
    def span(self) -> Span:
        """Its rows, counted over the whole input."""
        return Span(self.first_row, self.first_row + self.rows)

    @property
    def whole(self) -> "InputFile":
        """The file with all of its rows."""
        if self.all_blocks is None:
            return self
        rows = sum(block.rows for block in self.all_blocks)
        return replace(self, blocks=self.all_blocks, rows=rows, all_blocks=None)

    @property
    def copy(self) -> Path | None:
        """The copy that is read; None if it is the user's file."""
        return self.path if self.path != self.origin and isinstance(self.path, Path) else None

    @property
    def is_copy(self) -> bool:
        """Whether a copy is read rather than the user's file."""
        return self.path != self.origin


@dataclass(frozen=True, slots=True)
class Source:
    """The whole input, checked.

    Attributes:
        files: In order of their names; row indices run through them.
        schema: All columns of the table, each with the type to which it is cast, those in the files' paths last; with the
            first file's metadata.
        rows: Number of rows in all files.
        single: Whether one file was given, rather than a folder or a glob.
        fingerprint: Identifies the bytes of all files, in order, and the columns in their paths.
        csv: How CSV files are written.
        where: The condition on its rows; those that do not match are not among them, nor in any number of rows.
    """

    files: tuple[InputFile, ...]
    schema: pa.Schema
    rows: int
    single: bool
    fingerprint: str
    csv: CsvSettings
    where: "Where | None" = None

    @property
    def null_words(self) -> Sequence[str]:
        """What a cell says that has no text: words, if there are CSV files."""
        return self.csv.nulls if any(file.format == "csv" for file in self.files) else ()

    @property
    def version(self) -> int | None:
        """The version that is read; None if it is no Delta table."""
        live = self.files[0].live
        return live.version if live else None

    @property
    def stored(self) -> list[str]:
        """The names of the columns that are in the files, rather than in their paths."""
        partitions = self.files[0].partitions
        return [name for name in self.schema.names if name not in partitions]


class Table(Protocol):
    """An open file."""

    def batches(
        self, block: Block, columns: Sequence[str] | None, *, max_rows: int, max_bytes: int
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows of *block* in order, in batches of at most *max_rows* rows and about *max_bytes* bytes.

        Blocks must be requested in row order; *columns* None means all columns.
        """


def fingerprint(*parts: object) -> str:
    """Hash *parts* into 32 hexadecimal digits."""
    return blake2b(repr(parts).encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()


def places(names: Sequence[str], name: str) -> str:
    """Return the numbers, from 1, of the columns called *name*, such as `2 and 5`."""
    *others, last = [str(number) for number, each in enumerate(names, start=1) if each == name]
    return f"{', '.join(others)} and {last}" if others else last


def all_spans(source: Source) -> list[Span]:
    """Return the spans that are all rows of *source*: one, or none if it has no rows."""
    return [Span(0, source.rows)] if source.rows else []


def ensure_unchanged(source: Source) -> None:
    """Ensure that no file has changed since the survey.

    Raises:
        InputDataError: If a file's size, time or inode differs, or it is gone; names every such file.
    """
    problems = [problem for file in source.files if (problem := _change(file))]
    if problems:
        raise InputDataError(*problems)


def _change(file: InputFile) -> str | None:
    try:
        same = storage.stamp(file.origin) == file.stamp
    except OSError as error:
        return f"{file.origin}: was there when the run began and cannot be read now ({error.strerror}); run again"
    return None if same else f"{file.origin}: changed while the run was reading it; run again"
