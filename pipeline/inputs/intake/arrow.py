"""Arrow: record batches from an IPC file or stream, which Feather is too."""

import tempfile
from collections.abc import Generator, Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import storage
from pipeline.config import CsvSettings
from pipeline.errors import InputDataError
from pipeline.inputs.intake.compression import Unpacked
from pipeline.system.places import Place

_MAGIC = b"ARROW1"
_END_OF_STREAM = b"\xff\xff\xff\xff\0\0\0\0"
_BATCH_BYTES = 4 << 20


def tables(path: Place, raw: Unpacked, settings: CsvSettings) -> Generator[pa.Table]:
    """Yield the rows of a file; see `Format`."""
    del settings
    try:
        schema, batches = _opened(path, raw)
        _ensure_writable(path, schema)
        yield schema.empty_table()
        for batch in batches:
            yield from _pieces(batch)
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InputDataError(
            f"{path}: is no Arrow file that can be read ({reason}); write it again"
        ) from error


def _opened(path: Place, raw: Unpacked) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """Return the schema and the record batches of a file or a stream."""
    is_file = raw.read(len(_MAGIC)) == _MAGIC
    raw.rewind()
    if is_file:
        file = pa.ipc.open_file(_unpacked_whole(raw) if raw.is_packed else storage.open_arrow(path))
        return file.schema, (file.get_batch(number) for number in range(file.num_record_batches))
    stream = _Stream(raw)
    reader = pa.ipc.open_stream(stream)
    return reader.schema, _to_the_end(path, reader, stream)


def _unpacked_whole(raw: Unpacked) -> pa.NativeFile:
    """Unpack into a file without a name: what an Arrow file holds is known from its end only."""
    with tempfile.NamedTemporaryFile() as whole:  # it has a name until it is open for pyarrow
        while data := raw.read(1 << 20):
            whole.write(data)
        whole.flush()
        return pa.OSFile(whole.name)


def _to_the_end(path: Place, reader: pa.RecordBatchReader, stream: "_Stream") -> Iterator[pa.RecordBatch]:
    """Yield the batches of a stream.

    Raises:
        InputDataError: If it was cut short: where that was between two batches, it looks whole to pyarrow.
    """
    yield from reader
    if stream.last != _END_OF_STREAM:
        raise InputDataError(f"{path}: was cut short: its end is missing; write or copy it again")


class _Stream:
    """The stream that pyarrow reads; its last 8 bytes are remembered."""

    def __init__(self, raw: Unpacked) -> None:
        self._raw = raw
        self.last = b""
        self.closed = False

    def read(self, size: int) -> bytes:
        """Read *size* bytes; fewer only at the end."""
        found = self._raw.read(size)
        while len(found) < size and (more := self._raw.read(size - len(found))):
            found += more
        self.last = (self.last + found[-8:])[-8:]
        return found


def _ensure_writable(path: Place, schema: pa.Schema) -> None:
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
