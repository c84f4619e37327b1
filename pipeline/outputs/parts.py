"""Parts: the new columns of finished chunks, a cache that lets a resumed run skip those chunks without reading them.

A part's name states its rows and its metadata the run, so that redoing a chunk overwrites its part, and the part of
another run is never used. The metadata also holds a checksum over the whole file. A part can always be rebuilt from
the ledger.

A part is an Arrow file: it lives for hours, and Parquet takes ten times as long to write and to read for two thirds of
the bytes.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from zlib import crc32

import pyarrow as pa

from pipeline.records import Span
from pipeline.system.atomic import write

NAME = re.compile(r"r(\d{15})-(\d{15})\.arrow")
IDENTITY = b"pipeline.part.2"
"""Names the run of a part, and with it the version of its columns."""
SEAL = b"crc32:"
"""Precedes the checksum, eight hexadecimal digits."""

UNSEALED = SEAL + b"00000000"


class DamagedPartError(Exception):
    """A part is damaged or missing; it was removed, and its chunk must be redone."""


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of one run, in one folder.

    Attributes:
        folder: The folder that holds them and nothing else.
        identity: Id of the run.
        schema: The schema of each part.
    """

    folder: Path
    identity: str
    schema: pa.Schema

    def write(self, span: Span, batch: pa.RecordBatch) -> None:
        """Write *batch*, the part of the chunk at *span*, atomically.

        It is not synced: if a power cut damages it, the ledger still has its answers, and each sync takes milliseconds.
        """
        schema = self.schema.with_metadata({IDENTITY: self.identity.encode(), b"pipeline.seal": UNSEALED})
        file = pa.BufferOutputStream()
        with pa.ipc.new_file(
            file, schema, options=pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)
        ) as writer:
            writer.write(batch)
        write(self._path(span), seal(file.getvalue().to_pybytes()), durable=False)

    def spans(self, rows: int) -> list[Span]:
        """Return the spans of the usable parts of an input of *rows* rows, in order, and remove every other file."""
        found: list[Span] = []
        for path in sorted(self.folder.iterdir(), key=attrgetter("name")):
            span = span_of(path.name)
            reached = found[-1].stop if found else 0
            if (
                span is None
                or not reached <= span.start < span.stop <= rows
                or not self._is_usable(path, span)
            ):
                path.unlink()
            else:
                found.append(span)
        return found

    def read(self, span: Span, columns: Sequence[str] | None = None) -> pa.RecordBatch:
        """Read the part of the chunk at *span*, or only some of its *columns*.

        Raises:
            DamagedPartError: If it does not match its checksum or does not exist.
        """
        path = self._path(span)
        content = _content(path)
        if content is None:
            path.unlink(missing_ok=True)
            raise DamagedPartError(str(path))
        with _opened(content) as file:
            batch = file.get_batch(0)
        wanted = self.schema if columns is None else pa.schema([self.schema.field(name) for name in columns])
        return pa.RecordBatch.from_arrays([batch.column(name) for name in wanted.names], schema=wanted)

    def remove(self) -> None:
        """Remove all parts."""
        for path in self.folder.iterdir():
            path.unlink()

    def _path(self, span: Span) -> Path:
        return self.folder / f"r{span.start:015}-{span.stop:015}.arrow"

    def _is_usable(self, path: Path, span: Span) -> bool:
        content = _content(path)
        if content is None:
            return False
        with _opened(content) as file:
            is_same_run = (file.schema.metadata or {}).get(IDENTITY) == self.identity.encode()
            return is_same_run and bool(file.get_batch(0).num_rows == span.rows)


def gaps(rows: int, done: Iterable[Span]) -> Iterator[Span]:
    """Yield the spans of *rows* rows that *done*, which is in order, does not cover."""
    start = 0
    for span in [*done, Span(rows, rows)]:
        if start < span.start:
            yield Span(start, span.start)
        start = span.stop


def span_of(name: str) -> Span | None:
    """Return the rows of the part called *name*; None if that is no part's name."""
    match = NAME.fullmatch(name)
    return Span(*map(int, match.groups())) if match else None


def seal(content: bytes) -> bytes:
    """Return the file *content* with its checksum in place of the digits of `UNSEALED`."""
    at = content.rindex(UNSEALED) + len(SEAL)
    return content[:at] + b"%08x" % crc32(content) + content[at + 8 :]


def is_sealed(content: bytes) -> bool:
    """Return whether *content* is the result of `seal`, unchanged to the bit."""
    at = len(content)
    while (at := content.rfind(SEAL, 0, at)) >= 0:  # bytes after the seal may look like one
        found = content[at + len(SEAL) : at + len(UNSEALED)]
        if found == b"%08x" % crc32(content[:at] + UNSEALED + content[at + len(UNSEALED) :]):
            return True
    return False


def _content(path: Path) -> bytes | None:
    """Return the bytes of the part at *path*, or None if it is damaged or missing."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    return content if is_sealed(content) else None


def _opened(content: bytes) -> pa.ipc.RecordBatchFileReader:
    return pa.ipc.open_file(pa.BufferReader(content), options=pa.ipc.IpcReadOptions(use_threads=False))
