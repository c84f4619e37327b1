"""Readers that take a file's columns from its metadata see the new ones, too."""

import json
from typing import Any

import pyarrow as pa
import pytest

from pipeline.outputs.columns import output_schema
from pipeline.outputs.writers.readers import SPARK, with_true_columns

TEXT = {"name": "text", "type": "string", "nullable": False, "metadata": {"comment": "of a mail"}}
KEPT = pa.schema([("text", pa.string())])


def told(kept: pa.Schema, *fields: dict[str, Any], kind: str = "single") -> list[dict[str, Any]]:
    entry = json.dumps({"type": "struct", "fields": fields})
    schema = output_schema(kept.with_metadata({SPARK: entry}), kind, "")
    found: list[dict[str, Any]] = json.loads(with_true_columns(schema).metadata[SPARK])["fields"]
    assert [field["name"] for field in found] == schema.names
    return found


@pytest.mark.parametrize("kind", ["single", "multi"])
def test_spark_is_told_of_the_new_columns_and_what_it_knew_of_the_others_stays(kind: str) -> None:
    first, label, *_, cost = told(KEPT, TEXT, kind=kind)
    assert first == TEXT
    array = {"type": "array", "elementType": "string", "containsNull": True}
    assert label["type"] == ("string" if kind == "single" else array)
    assert cost == {"name": "cost_usd", "type": "double", "nullable": True, "metadata": {}}


def test_spark_is_not_told_of_a_column_that_is_not_kept() -> None:
    assert told(KEPT, TEXT, {**TEXT, "name": "other"})[0] == TEXT


@pytest.mark.parametrize("entry", [b"{", b"{}", b"[]", b'{"fields": [{}]}'])
def test_what_cannot_be_made_true_is_left_out(entry: bytes) -> None:
    schema = output_schema(
        KEPT.with_metadata({SPARK: entry, b"parquet.avro.schema": b"{}", b"mine": b"1"}), "single", ""
    )
    assert with_true_columns(schema).metadata == {b"mine": b"1"}
