"""Arrow: record batches from an IPC file or stream, which Feather is too."""

from collections.abc import Generator, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.config import CsvSettings
from pipeline.errors import InputDataError
from pipeline.inputs.intake.compression import Unpacked

_MAGIC = b"ARROW1"
_BATCH_BYTES = 4 << 20


def tables(path: Path, raw: Unpacked, settings: CsvSettings) -> Generator[pa.Table]:
    """Yield the rows of a file; see `Format`."""
    del settings
    tail = _Tail(raw)
    is_file = tail.peeked == _MAGIC
    try:
        with pa.ipc.open_stream(tail) as reader:
            _ensure_writable(path, reader.schema)
            yield reader.schema.empty_table()
            for batch in reader:
                yield from _pieces(batch)
        while tail.read(1 << 20):  # a file has its footer behind the stream
            pass
    except (pa.ArrowException, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InputDataError(
            f"{path}: is no Arrow file that can be read ({reason}); write it again"
        ) from error
    if not tail.last.endswith(_MAGIC if is_file else bytes(4)):
        raise InputDataError(f"{path}: was cut short: its end is missing; write or copy it again")


class _Tail:
    """A stream as pyarrow reads it: the magic number of a file is left out, and the last bytes are remembered.

    An Arrow file is its magic number, a stream, and a footer; a stream that was cut between two batches looks whole to
    pyarrow.
    """

    def __init__(self, raw: Unpacked) -> None:
        self._raw = raw
        self.closed = False
        self.peeked = raw.read(len(_MAGIC))
        self.last = self.peeked
        self._waiting = b"" if self.peeked == _MAGIC else self.peeked
        if self.peeked == _MAGIC:
            raw.read(2)  # padding

    def read(self, size: int) -> bytes:
        """Read *size* bytes; fewer only at the end."""
        parts, missing = [self._waiting[:size]], size - len(self._waiting[:size])
        self._waiting = self._waiting[size:]
        while missing and (data := self._raw.read(missing)):
            parts.append(data)
            missing -= len(data)
        found = b"".join(parts)
        self.last = (self.last + found)[-8:] if len(found) < len(_MAGIC) + 2 else found[-8:]
        return found

    def close(self) -> None:
        """Leave the file open: its end is read after the stream's."""


def _ensure_writable(path: Path, schema: pa.Schema) -> None:
    """Raise InputDataError for a column that Parquet cannot hold."""
    for field in schema:
        try:
            pq.ParquetWriter(pa.BufferOutputStream(), pa.schema([field])).close()
        except (pa.ArrowException, ValueError) as error:
            raise InputDataError(
                f"{path}: column {field.name!r} is {field.type}, which Parquet cannot hold; leave it out or cast it"
            ) from error


def _pieces(batch: pa.RecordBatch) -> Iterator[pa.Table]:
    """Yield the rows of a batch in tables that are not too large."""
    rows = max(1, batch.num_rows * _BATCH_BYTES // max(1, batch.nbytes))
    for start in range(0, batch.num_rows, rows):
        yield pa.Table.from_batches([batch.slice(start, rows)])
