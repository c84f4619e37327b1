"""Parquet files as other programs write them: with types that pyarrow reads and does not write."""

import io
from collections.abc import Mapping

import pyarrow as pa
import pyarrow.parquet as pq


def foreign(table: pa.Table, changes: Mapping[bytes, bytes]) -> bytes:
    """Write *table* and change the bytes of its footer, which is Thrift's compact protocol; each must be there once."""
    sink = io.BytesIO()
    pq.write_table(table, sink, store_schema=False, compression="none")
    data = sink.getvalue()
    start = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    footer = data[start:-8]
    for old, new in changes.items():
        assert footer.count(old) == 1, old
        footer = footer.replace(old, new)
    return data[:start] + footer + len(footer).to_bytes(4, "little") + data[-4:]


# A schema element holds its type, repetition, name, legacy type (0x25) and logical type, each led by how much higher
# its number is than the one before; what is not set is left out, and a zero ends it.
ENUM = {b"\x18\x04kind\x25\x00\x4c\x1c\x00\x00": b"\x18\x04kind\x25\x08\x4c\x4c\x00\x00"}
INTERVAL = {b"\x18\x04span\x00": b"\x18\x04span\x25\x2a\x00"}
VARIANT = {b"\x18\x03var\x15\x04\x00": b"\x18\x03var\x15\x04\x5c\x0c\x20\x00\x00\x00"}
NULL = {b"\x18\x04none\x00": b"\x18\x04none\x6c\xbc\x00\x00\x00"}
GEOMETRY = {b"\x18\x04area\x00": b"\x18\x04area\x6c\x0c\x22\x00\x00\x00"}
EMPTY_GROUP = {
    b"\x19\x2c\x35\x00\x18\x06schema\x15\x02\x00": (
        b"\x19\x3c\x35\x00\x18\x06schema\x15\x04\x00\x35\x02\x18\x05empty\x15\x00\x00"
    )
}


def enums() -> bytes:
    """Write a column of ENUMs, `kind`."""
    return foreign(pa.table({"kind": ["cat", None, "dog"], "text": ["a", "b", "c"]}), ENUM)


def intervals() -> bytes:
    """Write a column of INTERVALs, `span`, beside the column `text`."""
    return foreign(pa.table({"span": pa.array([bytes(12)], pa.binary(12)), "text": ["a"]}), INTERVAL)


def variants() -> bytes:
    """Write a VARIANT, `var`, beside the column `text`."""
    kind = pa.struct([pa.field("metadata", pa.binary(), nullable=False), ("value", pa.binary())])
    return foreign(
        pa.table({"var": pa.array([{"metadata": b"\1\0\0", "value": b"\0"}], kind), "text": ["a"]}), VARIANT
    )


def geometries() -> bytes:
    """Write a GEOMETRY, `area`, beside the column `text`."""
    return foreign(pa.table({"area": [b"\1\1\0\0\0" + bytes(16)], "text": ["a"]}), GEOMETRY)


def required_nulls() -> bytes:
    """Write a column `none` that may not be null and has the type NULL, beside the column `text`."""
    schema = pa.schema([pa.field("none", pa.int32(), nullable=False), ("text", pa.string())])
    return foreign(pa.Table.from_pydict({"none": [1], "text": ["a"]}, schema), NULL)


def empty_groups() -> bytes:
    """Write a group without members, `empty`, before the column `text`."""
    return foreign(pa.table({"text": ["a"]}), EMPTY_GROUP)
