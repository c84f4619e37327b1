"""Find whole numbers in JSON that a column of floats does not keep exactly."""

import json
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

_EXACT = 1 << 53
"""Whole numbers below this one are exact as floats, and the next one becomes it."""


def first_inexact(table: pa.Table, block: bytes) -> tuple[int, int] | None:
    """Return the line in *block*, from 0, and the value of the first number that *table* does not hold as it is written."""
    if not any(_is_large(floats) for column in table.columns for floats in _floats(column.combine_chunks())):
        return None
    kinds = {field.name: field.type for field in table.schema}
    for number, line in enumerate(block.split(b"\n")):
        for name, value in (json.loads(line) or {}).items() if line.strip() else ():
            for found in _inexact(value, kinds[name]):
                return number, found
    return None


def _floats(array: pa.Array) -> Iterator[pa.Array]:
    """Yield all arrays of floats in an array, however deep."""
    if pa.types.is_floating(array.type):
        yield array
    elif pa.types.is_list(array.type):
        yield from _floats(array.flatten())
    elif pa.types.is_struct(array.type):
        for part in array.flatten():
            yield from _floats(part)


def _is_large(floats: pa.Array) -> bool:
    import pyarrow.compute as pc  # noqa: PLC0415 - takes 50 ms to import

    return bool(pc.any(pc.greater_equal(pc.abs(floats), float(_EXACT))).as_py())


def _inexact(value: Any, kind: pa.DataType) -> Iterator[int]:
    if isinstance(value, dict) and pa.types.is_struct(kind):
        for name, part in value.items():
            yield from _inexact(part, kind.field(name).type)
    elif isinstance(value, list) and pa.types.is_list(kind):
        for part in value:
            yield from _inexact(part, kind.value_type)
    elif isinstance(value, int) and pa.types.is_floating(kind) and int(float(value)) != value:
        yield value
