"""One version of a Delta table: its columns and its live files, by its log.

The folder of a table also holds files of rows that were replaced or removed, so it is never listed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.errors import InputDataError
from pipeline.inputs.source import LiveFile
from pipeline.storage import delta
from pipeline.system.places import Place, Unreachable, is_object, place_of

FEATURES = {
    "deletionVectors",
    "columnMapping",
    "timestampNtz",
    "typeWidening",
    "typeWidening-preview",
    "v2Checkpoint",
    "vacuumProtocolCheck",
}
"""What a reader must know about a table, of all that Delta has; a table with more of it could be misread."""

_PHYSICAL = b"delta.columnMapping.physicalName"
_MODE = "delta.columnMapping.mode"
_NO_ROWS: NDArray[np.int64] = np.empty(0, np.int64)
_EXPORT = "write its rows to Parquet with the engine that wrote it, or drop the feature there"


@dataclass(frozen=True, slots=True)
class Stored:
    """A data file, before it is looked at.

    Attributes:
        path: Its location.
        name: Its path in the table, as the name of a file.
        live: What the log says about it.
    """

    path: Place
    name: str
    live: LiveFile


def live_files(table: Place, version: int | None) -> list[Stored]:
    """Return the live files of *table* in a *version*, the newest if None, in the order of their names.

    Raises:
        InputDataError: If there is no such version, or the table needs what is not known here.
        ConfigError: If the library is not installed.
    """
    try:
        opened = delta.open_table(table, version)
        with delta.speaking(table):
            return sorted(_live_files(table, opened), key=lambda file: file.name)
    except Unreachable as error:
        what = "is a Delta table that cannot be read"
        raise InputDataError(
            f"{table}: {what} ({error.strerror}); check input.path and input.version"
        ) from error


def _live_files(table: Place, opened: Any) -> Iterator[Stored]:
    _refuse_unknown(table, opened)
    deleted, actions = _deleted(opened), pa.table(opened.get_add_actions())
    found = pa.schema(opened.schema().to_arrow())
    schema = pa.schema([field.remove_metadata() for field in found])
    names = {
        field.name: (field.metadata or {}).get(_PHYSICAL, field.name.encode()).decode() for field in found
    }
    columns = opened.metadata().partition_columns
    stored = {name: inner for name, inner in names.items() if name not in columns}
    for number, path in enumerate(actions["path"].to_pylist()):
        values = {
            name: pc.struct_field(actions["partition"].slice(number, 1), name)
            .cast(schema.field(name).type)
            .combine_chunks()
            for name in columns
        }
        name = unquote(path)
        live = LiveFile(opened.version(), schema, stored, values, deleted.pop(name, _NO_ROWS))
        yield Stored(
            _place(table, path),
            name.rpartition("://")[2].strip("/").replace("/", "__").replace("=", "-"),
            live,
        )
    if deleted:
        raise InputDataError(f"{table}: names deleted rows of files that it does not have; repair the table")


def _refuse_unknown(table: Place, opened: Any) -> None:
    unknown = set(opened.protocol().reader_features or ()) - FEATURES
    if unknown:
        raise InputDataError(
            f"{table}: is a Delta table with the feature {min(unknown)}, which is not known here; {_EXPORT}"
        )
    if opened.metadata().configuration.get(_MODE) == "id":
        raise InputDataError(f"{table}: is a Delta table that maps its columns by id, not by name; {_EXPORT}")


def _deleted(opened: Any) -> dict[str, NDArray[np.int64]]:
    """Return which rows of which files were deleted, as deletion vectors say: by path, as the log calls it."""
    if "deletionVectors" not in (opened.protocol().reader_features or ()):
        return {}
    found: dict[str, NDArray[np.int64]] = {}
    root = unquote(opened.table_uri).rstrip("/") + "/"
    root = root if "://" in root else f"file://{root}"
    for batch in pa.RecordBatchReader.from_stream(opened.deletion_vectors()):
        for path, kept in zip(batch["filepath"].to_pylist(), batch["selection_vector"], strict=True):
            mask = kept.values.to_numpy(zero_copy_only=False)
            found[unquote(path).removeprefix(root)] = np.flatnonzero(~mask).astype(np.int64)
    return found


def _place(table: Place, path: str) -> Place:
    """Return where a data file lies that the log calls *path*: a URI, most often relative to the *table*."""
    if "://" not in path:
        return table / unquote(path)
    return place_of(unquote(path if is_object(path) else urlsplit(path).path))
