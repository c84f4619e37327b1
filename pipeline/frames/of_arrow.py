"""Tables of pyarrow, and of everything else that gives its rows as an Arrow stream."""

from collections.abc import Sequence

import pyarrow as pa


class GivenArrow:
    """A Table, or a RecordBatch, which is given back as one."""

    def __init__(self, rows: pa.Table | pa.RecordBatch) -> None:
        self._is_batch = isinstance(rows, pa.RecordBatch)
        self._table = pa.Table.from_batches([rows]) if self._is_batch else rows

    @property
    def names(self) -> Sequence[str]:
        """The names of its columns."""
        return self._table.column_names  # type: ignore[no-any-return]  # pyarrow has no types

    def column(self, name: str) -> pa.ChunkedArray:
        """Return a column."""
        return self._table.column(name)

    def labelled(self, new: pa.Table) -> pa.Table | pa.RecordBatch:
        """Return the rows with the columns *new*, at their end."""
        kept = [index for index, name in enumerate(self.names) if name not in new.column_names]
        old = self._table.select(kept)
        schema = pa.schema([*old.schema, *new.schema], old.schema.metadata)
        table = pa.Table.from_arrays([*old.columns, *new.columns], schema=schema)
        if not self._is_batch:
            return table
        arrays = [_whole(column) for column in table.columns]
        return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _whole(column: pa.ChunkedArray) -> pa.Array:
    """Return a column in one piece: as it was, if it is in one."""
    return (
        column.chunk(0)
        if column.num_chunks == 1
        else pa.concat_arrays(column.chunks or [pa.array([], column.type)])
    )
