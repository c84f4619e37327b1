"""Read CSV and TSV files, compressed or not, block by block as the survey found them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from pipeline.config import CsvSettings
from pipeline.inputs.delimited.grammar import Dialect
from pipeline.inputs.delimited.scan import inspect, parse
from pipeline.inputs.delimited.text_stream import TextStream, open_text
from pipeline.inputs.source import Block, Table

__all__ = ["inspect", "open_table"]


class DelimitedTable:
    """An open CSV file."""

    def __init__(self, stream: TextStream, dialect: Dialect, names: Sequence[str]) -> None:
        self._stream = stream
        self._dialect = dialect
        self._names = names

    def batches(
        self, block: Block, columns: Sequence[str] | None, *, max_rows: int, max_bytes: int
    ) -> Iterator[pa.RecordBatch]:
        """Read the rows of a block in order; see `Table`."""
        del max_bytes  # a block is small enough
        names = list(self._names if columns is None else dict.fromkeys(columns))
        numbers = None if columns is None else [self._names.index(name) for name in names]
        self._stream.seek(block.offset)
        table = parse(self._stream.read(block.size), self._dialect, len(self._names), numbers)
        yield from table.rename_columns(names).to_batches(max_rows)


@contextmanager
def open_table(path: Path, settings: CsvSettings, names: Sequence[str]) -> Iterator[Table]:
    """Open a file whose header is *names*; see `Format`."""
    dialect = Dialect.of(path, settings)
    stream = open_text(path, dialect.encoding)
    try:
        yield DelimitedTable(stream, dialect, names)
    finally:
        stream.close()
