"""Answers as objects: segments, each with those of a few seconds, and snapshots of the whole ledger.

Answers only ever come in, and saving one is never wrong. So anybody who has paid for answers may ship them, even if another has
taken over: a name begins with the epoch of its writer's lease, and no two writers have one name.
"""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson
import pyarrow as pa

from pipeline import storage
from pipeline.ledger.opening import FILE, open_file
from pipeline.storage import conditional
from pipeline.system.places import ObjectPath

SEGMENT_ANSWERS = 50_000
"""Answers of a segment at most: about 15 MB before they are packed."""

_SCHEMA = pa.schema([("key", pa.binary()), ("body", pa.binary()), ("checksum", pa.int64())])
_OPTIONS = pa.ipc.IpcWriteOptions(compression="zstd")

NEW = (
    "SELECT id, CAST(key AS BLOB), CAST(body AS BLOB), checksum FROM answers WHERE id > ? ORDER BY id LIMIT ?"
)
LAST = "SELECT ifnull(max(id), 0) FROM answers"


def segment_folder(store: ObjectPath) -> ObjectPath:
    """Return where the segments of a state are."""
    return store / "seg"


def snapshot_folder(store: ObjectPath) -> ObjectPath:
    """Return where its snapshots are."""
    return store / "snap"


def last_id(folder: Path) -> int:
    """Return the number of the newest answer in the ledger of *folder*; 0 if there is none."""
    return next((int(row[0]) for row in _rows(folder, LAST)), 0)


def new_answers(folder: Path, after: int) -> tuple[int, bytes] | None:
    """Return a segment with the first answers after the one numbered *after*, and the number of its last one; None if none is new."""
    rows = list(_rows(folder, NEW, after, SEGMENT_ANSWERS))
    if not rows:
        return None
    ids, keys, bodies, checksums = zip(*rows, strict=True)
    batch = pa.record_batch(
        [pa.array(keys, pa.binary()), pa.array(bodies, pa.binary()), checksums], schema=_SCHEMA
    )
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, _SCHEMA, options=_OPTIONS) as writer:
        writer.write_batch(batch)
    return int(ids[-1]), sink.getvalue().to_pybytes()


def merge(folder: Path, segments: Sequence[ObjectPath]) -> None:
    """Add the answers in *segments*, which are not in it yet, to the ledger in *folder*, which is made if need be.

    Raises:
        FileNotFoundError: If a segment has gone: there is a snapshot now that has it.
    """
    if not segments:
        return
    with closing(open_file(folder)) as store:
        for place in segments:
            found = conditional.read(place)
            if found is None:
                raise FileNotFoundError(str(place))
            store.append_new(list(_cells(found.content)))


def _cells(content: bytes) -> Iterator[tuple[bytes, bytes, int]]:
    with pa.ipc.open_stream(content) as reader:
        for batch in reader:
            yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def take_snapshot(
    folder: Path, place: ObjectPath, covers: Sequence[str], ensure_held: Callable[[], None]
) -> None:
    """Store the whole ledger in *folder* at *place*, and beside it the names of the segments that it *covers*."""
    with TemporaryDirectory(prefix=".snapshot-", dir=folder) as temporary:
        whole = Path(temporary, FILE)
        with closing(sqlite3.connect(folder / FILE)) as connection:
            connection.execute("VACUUM INTO ?", (str(whole),))
        conditional.overwrite(place.with_suffix(".json"), orjson.dumps(sorted(covers)))
        with (
            storage.replacing(place, before_rename=ensure_held) as packed,
            whole.open("rb") as source,
            pa.CompressedOutputStream(str(packed), "zstd") as sink,
        ):
            while piece := source.read(1 << 20):
                sink.write(piece)


def restore_snapshot(folder: Path, place: ObjectPath) -> list[str]:
    """Make the ledger in *folder* the one in a snapshot; returns the names of the segments that it covers.

    Raises:
        FileNotFoundError: If the snapshot has gone: there is a newer one.
    """
    covers = conditional.read(place.with_suffix(".json"))
    with (
        storage.replacing(folder / FILE) as whole,
        storage.open_file(place) as packed,
        pa.CompressedInputStream(pa.PythonFile(packed, "r"), "zstd") as source,
        whole.open("wb") as sink,
    ):
        while piece := source.read(1 << 20):
            sink.write(piece)
    return list(orjson.loads(covers.content)) if covers else []


def _rows(folder: Path, query: str, *values: int) -> Iterator[tuple[Any, ...]]:
    if not (folder / FILE).exists():
        return
    with closing(sqlite3.connect(folder / FILE, timeout=60)) as connection:
        yield from connection.execute(query, values).fetchall()
