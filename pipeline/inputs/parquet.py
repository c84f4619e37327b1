"""Parquet files: check the footer against the file, then stream row groups in batches."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import storage
from pipeline.errors import InputDataError
from pipeline.inputs.columnar.pages import oversized_page
from pipeline.inputs.columnar.shape import Shape, columns_of, first_group
from pipeline.inputs.columnar.strips import gathered, side_by_side, strips_of
from pipeline.inputs.columnar.types import enum_columns, know_geometry, schema_of, typed
from pipeline.inputs.source import Block, Contents
from pipeline.system.places import Place

_TAIL_BYTES = 8  # the footer's length (4 bytes, little endian), then its magic number
_READ_BYTES = 1 << 16

# A row group this large that was compressed this much may be a decompression bomb: real text shrinks 2 to 20 times,
# and dictionaries do not count (their declared size is the encoded one). Text from a template shrinks as much, so the
# pages decide, which are decoded whole.
_SUSPECT_BYTES = 128 << 20
_SUSPECT_RATIO = 200
# A run of equal values takes about 50 bytes of page, and writers begin a new page after at most a million rows.
_ROWS_PER_BYTE = 1_000_000


class ParquetTable:
    """An open Parquet file.

    Attributes:
        file: The file as pyarrow has it.
    """

    def __init__(self, path: Place, file: pq.ParquetFile) -> None:
        self.file, self._enums, self._shape = file, enum_columns(file), Shape(path, file)

    def batches(
        self, block: Block, columns: Sequence[str] | None, *, max_rows: int, max_bytes: int
    ) -> Iterator[pa.RecordBatch]:
        """Read the rows of a row group in order; see `Table`."""
        every = self._shape.names
        names = every if columns is None else list(dict.fromkeys(columns))
        rows = self._shape.rows_at_once(names, max_rows, max_bytes)
        strips = strips_of(names, self._shape.sizes)
        if len(strips) == 1 or len(set(names)) < len(names):
            found = self._read(block, None if names == every else names, rows)
        else:
            found = side_by_side(self._read(block, strip, rows) for strip in strips)
        # Few rows for fear of a dictionary's largest cell are mostly small ones, and each batch costs what follows time.
        return typed(gathered(found, max_rows, max_bytes) if rows < max_rows else found, self._enums)

    def _read(self, block: Block, names: list[str] | None, rows: int) -> Iterator[pa.RecordBatch]:
        found: Iterator[pa.RecordBatch] = self.file.iter_batches(
            rows, [block.offset], columns=names, use_threads=False
        )
        return found


@contextmanager
def open_table(path: Place) -> Iterator[ParquetTable]:
    """Open a file.

    Raises:
        OSError, pa.ArrowException: If it cannot be opened.
    """
    with _open(path) as file:
        yield ParquetTable(path, file)


def inspect(path: Place) -> Contents:
    """Check the footer and decode the first row, and return the file's contents.

    Raises:
        InputDataError: If the file cannot be used; one line for the user.
    """
    digest = _footer_digest(path)
    try:
        with _open(path) as file:
            contents = Contents(schema_of(file), tuple(_blocks(file.metadata)), digest)
            _refuse_impossible_groups(path, file.metadata)
            _try_first_row(file, contents.blocks)
            _refuse_impossible_columns(path, file.metadata)
    except (OSError, ValueError, pa.ArrowException) as error:  # ValueError: a name in the footer is not UTF-8
        raise InputDataError(f"{path}: {_reason(error)}") from error
    return contents


@contextmanager
def _open(path: Place) -> Iterator[pq.ParquetFile]:
    know_geometry()
    # Pre-buffering would hold whole row groups. In nanoseconds, Arrow's usual unit for them, Spark's INT96 times beyond
    # the years 1677 to 2262 become others.
    with storage.open_arrow(path) as file:
        yield pq.ParquetFile(
            file,
            pre_buffer=False,
            buffer_size=_READ_BYTES,
            coerce_int96_timestamp_unit="us",
            page_checksum_verification=True,
        )


def _blocks(footer: pq.FileMetaData) -> Iterator[Block]:
    first = 0
    for number in range(footer.num_row_groups):
        group = footer.row_group(number)
        if group.num_rows:
            yield Block(first, group.num_rows, number, group.total_byte_size)
        first += group.num_rows


def _footer_digest(path: Place) -> str:
    """Hash the footer, which holds the size and the offset of every column chunk."""
    with storage.open_file(path) as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - _TAIL_BYTES))
        tail = file.read()
        if tail[4:] != b"PAR1":
            raise InputDataError(f"{path}: {_bad_end(tail)}")
        footer_bytes = min(size, int.from_bytes(tail[:4], "little") + _TAIL_BYTES)
        file.seek(size - footer_bytes)
        return blake2b(file.read(footer_bytes), digest_size=16).hexdigest()


def _bad_end(tail: bytes) -> str:
    if tail[4:] == b"PARE":
        return "is an encrypted Parquet file; decrypt it first"
    return "is a Parquet file that was cut short: its footer is missing; write or copy it again"


def _refuse_impossible_groups(path: Place, footer: pq.FileMetaData) -> None:
    """Raise InputDataError if a row group declares more than a file of this size can hold."""
    stored = storage.stamp(path).size
    groups = [footer.row_group(number) for number in range(footer.num_row_groups)]
    if footer.num_rows != sum(group.num_rows for group in groups):
        raise InputDataError(
            f"{path}: declares {footer.num_rows} rows, its row groups other numbers; write it again"
        )
    for number, group in enumerate(groups):
        if problem := _impossible(group.num_rows, group.total_byte_size, stored):
            raise InputDataError(f"{path}: row group {number}: {problem}")
    if any(_is_suspect(group.total_byte_size, stored) for group in groups):
        _refuse_large_pages(path)


def _refuse_impossible_columns(path: Place, footer: pq.FileMetaData) -> None:
    """Raise InputDataError if a column of the first row group declares more than its bytes can hold."""
    size, suspect = storage.stamp(path).size, False
    number, group = first_group(footer)
    for index, column in enumerate(columns_of(group)):
        name = column.path_in_schema
        stored, declared = column.total_compressed_size, column.total_uncompressed_size
        problem = _impossible(group.num_rows, declared, stored)
        suspect = suspect or _is_suspect(declared, stored)
        if not 0 <= stored <= size:
            problem = f"declares {stored} bytes in a file of {size}, which is damaged or cut; write it again"
        elif footer.schema.column(index).max_repetition_level == 0 and column.num_values != group.num_rows:
            problem = f"declares {column.num_values} values for {group.num_rows} rows; write the file again"
        if problem:
            raise InputDataError(f"{path}: row group {number}, column {name!r}: {problem}")
    if suspect:
        _refuse_large_pages(path)


def _impossible(rows: int, declared: int, stored: int) -> str | None:
    """Say why *stored* bytes cannot hold so many rows or *declared* decoded bytes; None if they can."""
    if min(rows, declared) < 0 or rows > stored * _ROWS_PER_BYTE:
        return f"declares {rows} rows in {stored} bytes; write the file again"
    return None


def _is_suspect(declared: int, stored: int) -> bool:
    return declared > _SUSPECT_BYTES and declared > stored * _SUSPECT_RATIO


def _refuse_large_pages(path: Place) -> None:
    if found := oversized_page(path):
        raise InputDataError(
            f"{path}: {found}, far more than text can shrink; if it is real, write it again with smaller pages"
        )


def _try_first_row(file: pq.ParquetFile, blocks: Sequence[Block]) -> None:
    """Decode one page of every column, which fails for an unknown codec and for an encrypted column."""
    names = file.schema_arrow.names
    # How large each column is may be asked only after this; see `columns_of`.
    sizes = dict.fromkeys(names, blocks[0].size // max(1, len(names))) if blocks else {}
    for strip in strips_of(names, sizes) if blocks else ():
        if next(file.iter_batches(1, [blocks[0].offset], columns=strip, use_threads=False), None) is None:
            raise ValueError("it declares rows and has none")


def _reason(error: Exception) -> str:
    """Word pyarrow's error in one line, with its remedy."""
    found = " ".join(str(error).split())
    for word, meaning in _MEANINGS.items():
        if word in found.lower():
            return f"{meaning} ({found})"
    return f"is no Parquet file that can be read ({found}); write it again"


_MEANINGS = {
    "decrypt": "is encrypted; decrypt it first",
    "encrypt": "is encrypted; decrypt it first",
    "compress": "is compressed by a codec that is not known here; write it again with zstd or snappy",
}
