"""Folders: which files in them are rows, what Hive folders say about them, and which tables have files of other rows.

In `year=2024/country=DE/part-0.parquet` the folders name columns, and the value that all rows below them have there.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from urllib.parse import unquote

import pyarrow as pa

from pipeline import storage
from pipeline.errors import InputDataError
from pipeline.system.places import Place

NULL = "__HIVE_DEFAULT_PARTITION__"
"""The value that stands for a null, in Hive and in all that write such folders."""

Partitions = Mapping[str, str | None]
"""The columns of a file that are in its path: each with the text that all rows of the file have there."""


def table_files(folder: Place) -> Iterator[Place]:
    """Yield the files in *folder*, and in its Hive folders at any depth; those in other subfolders are left out."""
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        for name, is_folder in storage.entries(here):
            if not is_folder:
                yield here / name
            elif is_partition(name):
                waiting.append(here / name)


def is_hidden(parts: Collection[str]) -> bool:
    """Return whether one of the *parts* of a path hides the file: `_temporary`, `.x.crc`, `_SUCCESS`; not `_year=2024`."""
    return any(part.startswith(".") or (part.startswith("_") and not is_partition(part)) for part in parts)


def is_partition(folder: str) -> bool:
    """Return whether *folder* is the name of a Hive folder, `name=value`."""
    name, equals, _ = folder.partition("=")
    return bool(name and equals)


def partitions_of(name: str) -> dict[str, str | None]:
    """Return the columns in *name*, the path of a file with `/`, and their values: `%3A` stands for a colon."""
    if "=" not in name:
        return {}
    found: dict[str, str | None] = {}
    for folder in filter(is_partition, name.split("/")[:-1]):
        column, _, value = folder.partition("=")
        found[_decoded(column)] = None if value == NULL else _decoded(value)
    return found


def with_partitions(batch: pa.RecordBatch, partitions: Partitions, columns: Sequence[str]) -> pa.RecordBatch:
    """Return *batch* with those of its *partitions* that are among *columns*."""
    for name, value in partitions.items():
        if name in columns:
            cells = pa.repeat(pa.scalar(value, pa.string()), batch.num_rows)
            batch = batch.append_column(name, cells)
    return batch


def _decoded(text: str) -> str:
    raw = unquote(text, errors="surrogateescape").encode("utf-8", "surrogateescape")
    return raw.decode("utf-8", "replace")


def refuse_managed(folders: Iterable[Place]) -> None:
    """Ensure that no folder of *folders* is, or lies in, a table that also keeps files of deleted rows.

    Raises:
        InputDataError: If one is; the message names the table and how to write its live rows.
    """
    looked_at: set[Place] = set()
    for folder in folders:
        for here in (folder, *folder.parents):
            if here in looked_at:
                break  # and so are all above it
            looked_at.add(here)
            for kind, (is_root, remedy) in _MANAGED.items():
                if is_root(here):
                    raise InputDataError(
                        f"{here}: is {kind}, whose folder also keeps rows that were deleted or replaced; "
                        + remedy.format(table=here)
                    )


def _is_iceberg(folder: Place) -> bool:
    try:
        metadata = storage.entries(folder / "metadata")
        return storage.is_folder(folder / "data") and any(_ICEBERG.fullmatch(name) for name, _ in metadata)
    except OSError:
        return False


_ICEBERG = re.compile(r"v?\d.*\.metadata\.json")
_SQL = "write the live ones to a file, in DuckDB: COPY (FROM {scan}('{{table}}')) TO 'live.parquet'"
_MANAGED: dict[str, tuple[Callable[[Place], bool], str]] = {
    "a Delta table": (
        storage.is_delta_table,
        "give the folder of the table itself, of which the live rows are read; or "
        + _SQL.format(scan="delta_scan"),
    ),
    "an Iceberg table": (_is_iceberg, _SQL.format(scan="iceberg_scan")),
    "a Hudi table": (
        lambda folder: storage.is_folder(folder / ".hoodie"),
        "write the live ones to a folder of their own, in Spark: read.format('hudi'), then write.parquet",
    ),
}
