"""Read spans of rows as chunks of text, and whole files as batches for publishing."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from operator import attrgetter

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.errors import InputDataError
from pipeline.inputs.folders import with_partitions
from pipeline.inputs.intake.copies import drop_copy
from pipeline.inputs.parquet import ParquetTable, open_table
from pipeline.inputs.schema import conformed
from pipeline.inputs.source import Block, InputFile, Source, Table
from pipeline.inputs.text import as_text, byte_lengths, cells, without
from pipeline.inputs.where.table import MatchingTable
from pipeline.records import Chunk, Span

CHUNK_ROWS, CHUNK_BYTES = 4096, 16 << 20
"""A chunk is full with so many rows, or with so many bytes of text."""

# Small, so that a batch fits the processor's cache, and because a value that is stored once for many rows is decoded
# into each of them.
_TEXT = {"max_rows": 512, "max_bytes": 4 << 20}
_PUBLISH = {"max_rows": 8192, "max_bytes": 2 << 20}


def read_chunks(
    source: Source,
    columns: Sequence[str],
    spans: Iterable[Span],
    *,
    max_rows: int = CHUNK_ROWS,
    max_bytes: int = CHUNK_BYTES,
) -> Iterator[Chunk]:
    """Yield the rows of *spans* as chunks, in order, decoding only *columns*.

    A chunk lies within one span, and may have rows of many files: what a chunk costs later is then the same for small
    files and for large ones. Chunk boundaries depend only on the rows and the arguments, not on how the files are
    stored.

    Args:
        source: The surveyed input.
        columns: Names of the columns to read.
        spans: The rows to read, in row order and without overlaps.
        max_rows: Most rows in a chunk.
        max_bytes: Most bytes of UTF-8 text in a chunk, except in a chunk of one row.

    Raises:
        InputDataError: If a file can no longer be read as the survey found it; names the file and the rows.
    """
    names, wanted = tuple(dict.fromkeys(columns)), list(spans)
    packer = _Packer(names, max_rows, max_bytes, source.null_words)
    for file in source.files:
        inside = _overlapping(wanted, file.span)
        if not (inside and file.rows):
            continue
        with _blamed(file), open_table(file.path) as table:
            for row, batch in _needed(_rows_of(table, source, file), file, names, inside, _TEXT):
                # The text of a value is that of the type in the file: it must not depend on which files lie beside it.
                yield from packer.add(row, with_partitions(batch, file.partitions, names), inside)
    yield from packer.flush()


def read_batches(
    source: Source, file: InputFile, columns: Sequence[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """Yield all rows of *file* in order, in the types that *source* has; *columns* None means all columns.

    A batch has about 2 MiB, or a single row that is larger.

    Raises:
        InputDataError: If the file can no longer be read as the survey found it; names the file and the rows.
    """
    if file.rows:  # others may be no Parquet file at all
        with open_batches(source, file, columns) as (_, batches):
            yield from batches


@contextmanager
def open_batches(
    source: Source, file: InputFile, columns: Sequence[str] | None = None
) -> Iterator[tuple[pq.ParquetFile, Iterator[pa.RecordBatch]]]:
    """Open *file*, and yield it with what `read_batches` yields of it; its metadata need not be read again."""
    with ExitStack() as opened:
        with _blamed(file):  # and not for what the caller does with it
            table = opened.enter_context(open_table(file.path))
        yield table.file, _conformed(_rows_of(table, source, file), source, file, columns)


def _conformed(
    table: Table, source: Source, file: InputFile, columns: Sequence[str] | None
) -> Iterator[pa.RecordBatch]:
    for row, batch in _needed(table, file, columns, [file.span], _PUBLISH):
        try:
            found = conformed(batch, source.schema, columns, file.partitions)
        except pa.ArrowException as error:
            start = row - file.first_row
            raise _unreadable(file, start, start + batch.num_rows, error) from error
        yield found


def _rows_of(table: ParquetTable, source: Source, file: InputFile) -> Table:
    """Return *table*, the open *file*, without the rows that are not in *source*."""
    rows = as_in_table(table, file)
    return rows if source.where is None else MatchingTable.of(rows, source, source.where, file.whole)


def as_in_table(table: ParquetTable, file: InputFile) -> Table:
    """Return *table*, the open *file*, as its Delta table has it, if it is a file of one."""
    if file.live is None:
        return table
    from pipeline.inputs.delta.rows import LiveTable  # noqa: PLC0415 - few inputs are Delta tables

    return LiveTable(table, file.live)


@contextmanager
def _blamed(file: InputFile) -> Iterator[None]:
    """Raise InputDataError instead of an error of the disk or of pyarrow."""
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(file, 0, file.rows, error) from error


def _needed(
    table: Table,
    file: InputFile,
    columns: Sequence[str] | None,
    wanted: Sequence[Span],
    at_once: dict[str, int],
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Yield the batches that contain wanted rows, each after its first row, counted over the whole input.

    They have those of *columns* that are in the file.
    """
    if columns is not None:
        columns = [name for name in columns if name not in file.partitions]
    for block in file.blocks:
        inside = _overlapping(wanted, Span(file.first_row + block.first, file.first_row + block.stop))
        if not inside:
            continue
        row, last = block.first, min(block.stop, inside[-1].stop - file.first_row)
        batches = table.batches(block, columns, **at_once)
        while row < last:
            batch = _next(batches, file, block, row)
            yield file.first_row + row, batch
            row += batch.num_rows


def _next(batches: Iterator[pa.RecordBatch], file: InputFile, block: Block, row: int) -> pa.RecordBatch:
    try:
        batch = next(batches, None)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise _unreadable(file, row, block.stop, error) from error
    if batch is None or row + batch.num_rows > block.stop:
        raise _unreadable(file, row, block.stop, "it holds another number of rows than it declares")
    return batch


def _unreadable(file: InputFile, start: int, stop: int, why: object) -> InputDataError:
    reason = " ".join(str(why).split())
    remedy = "write or copy the file again"
    if file.is_copy:
        drop_copy(file)
        remedy = f"its copy {file.path} was damaged; run again, which makes a new one"
    return InputDataError(f"{file.origin}: rows {start} to {stop - 1} cannot be read ({reason}); {remedy}")


def _overlapping(spans: Sequence[Span], other: Span) -> Sequence[Span]:
    first = bisect_right(spans, other.start, key=attrgetter("stop"))
    return spans[first : bisect_left(spans, other.stop, key=attrgetter("start"))]


@dataclass(slots=True)
class _Packer:
    """Collects the rows of one span until a chunk is full."""

    columns: tuple[str, ...]
    max_rows: int
    max_bytes: int
    null_words: Sequence[str]
    _span: Span | None = None
    _start: int = 0
    _rows: int = 0
    _bytes: int = 0
    _texts: list[list[pa.Array]] = field(default_factory=list)

    def add(self, row: int, batch: pa.RecordBatch, spans: Sequence[Span]) -> Iterator[Chunk]:
        """Add the rows of *batch*, whose first row is *row*, that are in *spans*; yield the chunks that are full."""
        texts = [without(as_text(batch.column(name)), self.null_words) for name in self.columns]
        lengths = _row_lengths(texts, batch.num_rows)
        for span in _overlapping(spans, Span(row, row + batch.num_rows)):
            if span is not self._span:
                yield from self.flush()
                self._span = span
            start, stop = max(row, span.start), min(row + batch.num_rows, span.stop)
            yield from self._fill(texts, lengths, row, start, stop)

    def flush(self) -> Iterator[Chunk]:
        """Yield the collected rows, if any, as a chunk."""
        if self._rows:
            columns = zip(self.columns, zip(*self._texts, strict=True), strict=True)
            yield Chunk(
                Span(self._start, self._start + self._rows),
                {name: [cell for part in parts for cell in cells(part)] for name, parts in columns},
            )
        self._rows, self._bytes, self._texts = 0, 0, []

    def _fill(
        self, texts: Sequence[pa.Array], lengths: pa.Array, row: int, start: int, stop: int
    ) -> Iterator[Chunk]:
        while start < stop:
            room = min(stop - start, self.max_rows - self._rows)
            count, size = _fitting(lengths.slice(start - row, room), self.max_bytes - self._bytes)
            if not count and self._rows:
                yield from self.flush()
                continue
            taken = max(1, count)
            if not self._rows:
                self._start = start
            self._texts.append([text.slice(start - row, taken) for text in texts])
            self._rows, self._bytes, start = self._rows + taken, self._bytes + size, start + taken
            if count < room or self._rows == self.max_rows:
                yield from self.flush()


def _row_lengths(texts: Sequence[pa.Array], rows: int) -> pa.Array:
    """Return the bytes of text in each row."""
    total = pa.repeat(pa.scalar(0, pa.int64()), rows)
    for text in texts:
        total = pc.add(total, byte_lengths(text))
    return total


def _fitting(lengths: pa.Array, room: int) -> tuple[int, int]:
    """Return how many of the first rows together have at most *room* bytes, and their number of bytes."""
    total = pc.sum(lengths).as_py() or 0
    if total <= room:
        return len(lengths), total
    ends = pc.cumulative_sum(lengths)
    count = pc.sum(pc.less_equal(ends, room)).as_py()
    return count, ends[count - 1].as_py() if count else 0
