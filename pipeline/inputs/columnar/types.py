"""Parquet's types as Arrow reads them: where Arrow has no such type of its own, the closest one."""

from collections.abc import Iterator
from functools import cache

import pyarrow as pa
import pyarrow.parquet as pq

ARROW_SCHEMA = b"ARROW:schema"
"""The footer's entry that holds the schema for Arrow; whoever writes a file makes its own."""


class _Geometry(pa.ExtensionType):  # type: ignore[misc]  # pyarrow has no types
    """A GEOMETRY or GEOGRAPHY: Arrow reads and writes them for whoever registers this name, and as bytes otherwise."""

    def __init__(self, storage: pa.DataType, parameters: bytes) -> None:
        self._parameters = parameters
        super().__init__(storage, "geoarrow.wkb")

    def __hash__(self) -> int:
        return hash((self.storage_type, self._parameters))

    def __arrow_ext_serialize__(self) -> bytes:
        return self._parameters

    @classmethod
    def __arrow_ext_deserialize__(cls, storage: pa.DataType, serialized: bytes) -> "_Geometry":
        return cls(storage, serialized)


@cache
def know_geometry() -> None:
    """Register the type of GEOMETRY columns, unless the process has one, as that of the package geoarrow."""
    try:
        pa.register_extension_type(_Geometry(pa.binary(), b"{}"))
    except pa.ArrowKeyError:
        return


def schema_of(file: pq.ParquetFile) -> pa.Schema:
    """Return the columns of *file* as `typed` makes them, with all entries of its footer as metadata."""
    schema = file.schema_arrow
    enums = enum_columns(file)
    fields = [field.with_type(pa.string()) if field.name in enums else field for field in schema]
    footer = {key: value for key, value in (file.metadata.metadata or {}).items() if key != ARROW_SCHEMA}
    return pa.schema(fields, {**footer, **(schema.metadata or {})} or None)


def enum_columns(file: pq.ParquetFile) -> frozenset[str]:
    """Return the names of the columns of ENUMs: text by definition, which Arrow reads as bytes."""
    binary = {field.name for field in file.schema_arrow if field.type == pa.binary()}
    leaves = (file.schema.column(number) for number in range(len(file.schema) if binary else 0))
    found = (leaf for leaf in leaves if leaf.path == leaf.name and leaf.converted_type == "ENUM")
    return frozenset(leaf.name for leaf in found if leaf.name in binary)


def typed(batches: Iterator[pa.RecordBatch], enums: frozenset[str]) -> Iterator[pa.RecordBatch]:
    """Yield *batches* with the columns *enums* as strings, without a copy."""
    if not enums:
        yield from batches
        return
    for batch in batches:
        fields = [field.with_type(pa.string()) if field.name in enums else field for field in batch.schema]
        columns = [
            column.view(pa.string()) if field.name in enums else column
            for field, column in zip(batch.schema, batch.columns, strict=True)
        ]
        yield pa.RecordBatch.from_arrays(columns, schema=pa.schema(fields, batch.schema.metadata))
