"""Read a data file of a Delta table as the table has it: without deleted rows, with the table's columns."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.types as is_a

from pipeline.inputs.kinds import cast
from pipeline.inputs.parquet import ParquetTable, inspect
from pipeline.inputs.source import Block, Contents, LiveFile, fingerprint
from pipeline.inputs.where.table import filtered
from pipeline.system.places import Place

_PHYSICAL = b"delta.columnMapping.physicalName"


def live_contents(path: Place, live: LiveFile) -> Contents:
    """Check the data file at *path*, and return the contents that the table has of it.

    Raises:
        InputDataError: If the file cannot be used.
    """
    stored = inspect(path)
    blocks: list[Block] = []
    first = 0
    for block in stored.blocks:
        start, stop = np.searchsorted(live.deleted, (block.first, block.stop))
        rows = block.rows - int(stop - start)
        if rows:
            blocks.append(replace(block, first=first, rows=rows))
        first += rows
    values = [(name, str(value[0])) for name, value in live.values.items()]
    digest = fingerprint(stored.digest, str(live.schema), live.stored, values, live.deleted.tobytes())
    return Contents(live.schema, tuple(blocks), digest)


class LiveTable:
    """An open data file with the rows and the columns that the table has of it; see `Table`."""

    def __init__(self, table: ParquetTable, live: LiveFile) -> None:
        self._table, self._live = table, live
        footer = table.file.metadata
        groups = (footer.row_group(number).num_rows for number in range(footer.num_row_groups))
        self._firsts = list(accumulate(groups, initial=0))
        self._held = frozenset(table.file.schema_arrow.names)

    def batches(
        self, block: Block, columns: Sequence[str] | None, *, max_rows: int, max_bytes: int
    ) -> Iterator[pa.RecordBatch]:
        """Yield the live rows of *block*."""
        names = self._live.schema.names if columns is None else list(dict.fromkeys(columns))
        inner = [self._live.stored[name] for name in names if name in self._live.stored]
        stored = [name for name in inner if name in self._held]
        row = self._firsts[block.offset]
        for batch in self._table.batches(block, stored, max_rows=max_rows, max_bytes=max_bytes):
            found = self._alive(batch, row)
            row += batch.num_rows
            if found.num_rows:
                yield self._conformed(found, names)

    def _alive(self, batch: pa.RecordBatch, row: int) -> pa.RecordBatch:
        """Return the rows of *batch*, whose first one is *row* of the file, that were not deleted."""
        deleted = self._live.deleted
        start, stop = np.searchsorted(deleted, (row, row + batch.num_rows))
        if start == stop:
            return batch
        mask = np.ones(batch.num_rows, np.bool_)
        mask[deleted[start:stop] - row] = False
        return filtered(batch, pa.array(mask))

    def _conformed(self, batch: pa.RecordBatch, names: Sequence[str]) -> pa.RecordBatch:
        if not names:
            return batch.select([])  # which has rows
        fields = [self._live.schema.field(name) for name in names]
        arrays = [self._column(batch, field) for field in fields]
        return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))

    def _column(self, batch: pa.RecordBatch, field: pa.Field) -> pa.Array:
        if (value := self._live.values.get(field.name)) is not None:
            return pa.repeat(value[0], batch.num_rows)
        stored = self._live.stored[field.name]
        if stored not in self._held:  # the column was added after the file was written
            return pa.nulls(batch.num_rows, field.type)
        column = batch.column(stored)
        kind = _renamed(column.type, field.type)
        return cast(column if kind == column.type else pa.array(_Seen(column, kind)), field.type)


class _Seen:
    """An array whose bytes are to be seen as those of another type, the same but for names in it."""

    def __init__(self, array: pa.Array, kind: pa.DataType) -> None:
        self._array, self._kind = array, kind

    def __arrow_c_array__(self, requested_schema: Any = None) -> tuple[Any, Any]:
        """Return what pyarrow takes over."""
        return self._kind.__arrow_c_schema__(), self._array.__arrow_c_array__(requested_schema)[1]


def _renamed(found: pa.DataType, wanted: pa.DataType) -> pa.DataType:
    """Return the type *found* in a file with the names that the table has for the fields in it."""
    if is_a.is_struct(found) and is_a.is_struct(wanted):
        names = {
            (field.metadata or {}).get(_PHYSICAL, field.name.encode()).decode(): field for field in wanted
        }
        return pa.struct(
            [
                field.with_name(names[field.name].name).with_type(
                    _renamed(field.type, names[field.name].type)
                )
                if field.name in names
                else field
                for field in found
            ]
        )
    if is_a.is_list(found) and is_a.is_list(wanted):
        return pa.list_(found.value_field.with_type(_renamed(found.value_type, wanted.value_type)))
    if is_a.is_map(found) and is_a.is_map(wanted):
        return pa.map_(
            found.key_field.with_type(_renamed(found.key_type, wanted.key_type)),
            found.item_field.with_type(_renamed(found.item_type, wanted.item_type)),
        )
    return found
