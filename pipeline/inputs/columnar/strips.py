"""Read a wide row group in strips: some columns at a time, for each open column holds a page and a dictionary."""

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import IO

import pyarrow as pa

STRIP_BYTES = 16 << 20
"""About what the open columns of a strip hold."""

_COLUMN_BYTES = 2 << 20
"""What an open column holds at most, as files are written: a page and a dictionary of 1 MiB."""


def strips_of(names: Sequence[str], sizes: Mapping[str, int]) -> list[list[str]]:
    """Cut the columns *names* into strips; *sizes* are the bytes of each, uncompressed."""
    strips: list[list[str]] = [[]]
    held = 0
    for name in names:
        size = min(_COLUMN_BYTES, sizes[name])
        if strips[-1] and held + size > STRIP_BYTES:
            strips.append([])
            held = 0
        strips[-1].append(name)
        held += size
    return strips


def side_by_side(strips: Iterable[Iterator[pa.RecordBatch]]) -> Iterator[pa.RecordBatch]:
    """Yield the rows of all *strips*, which have the same number of rows, with the columns of each beside the others.

    The strips are read one after the other, and wait in temporary files in TMPDIR that nobody else can open.
    """
    with ExitStack() as files:
        spooled = [_spooled(strip, files.enter_context(tempfile.TemporaryFile())) for strip in strips]
        heads = [next(strip, None) for strip in spooled]
        while batches := [head for head in heads if head is not None]:
            rows = min(batch.num_rows for batch in batches)
            columns = [column.slice(0, rows) for batch in batches for column in batch.columns]
            schema = pa.schema(
                [field for batch in batches for field in batch.schema], batches[0].schema.metadata
            )
            yield pa.RecordBatch.from_arrays(columns, schema=schema)
            heads = [
                head.slice(rows) if head is not None and head.num_rows > rows else next(strip, None)
                for head, strip in zip(heads, spooled, strict=True)
            ]


def _spooled(batches: Iterator[pa.RecordBatch], file: IO[bytes]) -> Iterator[pa.RecordBatch]:
    """Write *batches* to *file*, and return what reads them from there."""
    sink = pa.PythonFile(file, "w")
    writer = None
    for batch in batches:
        if writer is None:
            writer = pa.ipc.new_stream(sink, batch.schema)
        writer.write_batch(batch)
    if writer is not None:
        writer.close()
    file.seek(0)
    return iter(pa.ipc.open_stream(pa.PythonFile(file, "r"))) if writer is not None else iter(())


def gathered(batches: Iterable[pa.RecordBatch], max_rows: int, max_bytes: int) -> Iterator[pa.RecordBatch]:
    """Yield the rows of *batches*, those of several together as far as they have at most so many rows and bytes."""
    waiting: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in batches:
        if waiting and (rows + batch.num_rows > max_rows or size + batch.nbytes > max_bytes):
            yield pa.concat_batches(waiting) if len(waiting) > 1 else waiting[0]
            waiting, rows, size = [], 0, 0
        waiting.append(batch)
        rows, size = rows + batch.num_rows, size + batch.nbytes
    if waiting:
        yield pa.concat_batches(waiting) if len(waiting) > 1 else waiting[0]
