"""Metadata that other readers take for the list of a file's columns: made true, or they would not see the new ones."""

import json
from contextlib import suppress
from typing import Any

import pyarrow as pa

SPARK = b"org.apache.spark.sql.parquet.row.metadata"
"""The columns for Spark, which takes them from here and not from Parquet."""

_AVRO = (b"parquet.avro.schema", b"avro.schema")
"""The columns for readers of Avro records, which fail on a column that is not among them; without it they look."""

_SPARK_TYPES: dict[pa.DataType, Any] = {
    pa.string(): "string",
    pa.bool_(): "boolean",
    pa.int32(): "integer",
    pa.int64(): "long",
    pa.float64(): "double",
    pa.date32(): "date",
    pa.list_(pa.string()): {"type": "array", "elementType": "string", "containsNull": True},
}


def with_true_columns(schema: pa.Schema) -> pa.Schema:
    """Return *schema* with what its metadata tells other readers of its columns, or without it if that is unknown."""
    metadata = {key: value for key, value in (schema.metadata or {}).items() if key not in _AVRO}
    told = metadata.pop(SPARK, None)
    if told is not None:
        with suppress(ValueError, KeyError, TypeError):  # it is damaged, or a type has no known name
            metadata[SPARK] = _for_spark(told, schema)
    return schema.with_metadata(metadata)


def _for_spark(told: bytes, schema: pa.Schema) -> bytes:
    whole = json.loads(told)
    known = {field["name"]: field for field in whole["fields"]}
    whole["fields"] = [
        known.get(field.name)
        or {"name": field.name, "type": _SPARK_TYPES[field.type], "nullable": True, "metadata": {}}
        for field in schema
    ]
    return json.dumps(whole).encode()
