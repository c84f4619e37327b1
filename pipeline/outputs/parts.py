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
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from zlib import crc32

import pyarrow as pa

from pipeline.records import Span
from pipeline.system.atomic import write

NAME = re.compile(r"f(\d{6})-r(\d{12})-(\d{12})\.arrow")
IDENTITY = b"pipeline.part"
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

        It is not synced: if a power cut damages it, the ledger still has its answers. A folder of small files has as many
        parts, and each sync takes milliseconds.
        """
        schema = self.schema.with_metadata({IDENTITY: self.identity.encode(), b"pipeline.seal": UNSEALED})
        file = pa.BufferOutputStream()
        with pa.ipc.new_file(
            file, schema, options=pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)
        ) as writer:
            writer.write(batch)
        write(self._path(span), seal(file.getvalue().to_pybytes()), durable=False)

    def spans(self, whole: Iterable[Span]) -> list[Span]:
        """Return the spans of the usable parts, in the order of the input, and remove every other file.

        Args:
            whole: The span of each input file, in order.
        """
        files = {span.file: span for span in whole}
        found: list[Span] = []
        for path in sorted(self.folder.iterdir(), key=attrgetter("name")):
            span = _span(path.name, files)
            if span is None or not self._is_usable(path, span) or (found and _overlap(found[-1], span)):
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
        return self.folder / f"f{span.file:06}-r{span.start:012}-{span.stop:012}.arrow"

    def _is_usable(self, path: Path, span: Span) -> bool:
        content = _content(path)
        if content is None:
            return False
        with _opened(content) as file:
            is_same_run = (file.schema.metadata or {}).get(IDENTITY) == self.identity.encode()
            return is_same_run and bool(file.get_batch(0).num_rows == span.rows)


def gaps(whole: Iterable[Span], done: Iterable[Span]) -> Iterator[Span]:
    """Yield the spans of *whole* that *done* does not cover; both are in the order of the input."""
    finished = {number: list(spans) for number, spans in groupby(done, key=attrgetter("file"))}
    for file in whole:
        start = file.start
        for span in finished.get(file.file, ()):
            if span.start > start:
                yield Span(file.file, start, span.start, file.first_row + start)
            start = span.stop
        if start < file.stop:
            yield Span(file.file, start, file.stop, file.first_row + start)


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


def _span(name: str, files: dict[int, Span]) -> Span | None:
    match = NAME.fullmatch(name)
    if match is None:
        return None
    file, start, stop = map(int, match.groups())
    whole = files.get(file)
    if whole is None or not whole.start <= start < stop <= whole.stop:
        return None
    return Span(file, start, stop, whole.first_row + start)


def _overlap(earlier: Span, later: Span) -> bool:
    return earlier.file == later.file and later.start < earlier.stop
