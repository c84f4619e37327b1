"""Read an open file as if it had only the rows that match a condition."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.inputs.source import Block, InputFile, Table

if TYPE_CHECKING:  # imports polars
    from pipeline.inputs.where.expression import Where


@dataclass(frozen=True, slots=True)
class MatchingTable:
    """An open table without the rows that do not match; see `Table`."""

    table: Table
    where: "Where"
    blocks: dict[int, Block]
    """The blocks with all their rows, by their offset."""

    @classmethod
    def of(cls, table: Table, where: "Where", whole: InputFile) -> "MatchingTable":
        """Return the rows of *table*, the open file *whole*, that match."""
        return cls(table, where, {block.offset: block for block in whole.blocks})

    def batches(
        self, block: Block, columns: Sequence[str] | None, *, max_rows: int, max_bytes: int
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows of *block* that match."""
        needed = None if columns is None else list(dict.fromkeys([*columns, *self.where.columns]))
        whole = self.blocks[block.offset]
        for batch in self.table.batches(whole, needed, max_rows=max_rows, max_bytes=max_bytes):
            mask = self.where.matches(batch)
            if mask.true_count:
                wanted = batch if columns is None else batch.select(list(dict.fromkeys(columns)))
                yield _filtered(wanted, mask)


def _filtered(batch: pa.RecordBatch, mask: pa.BooleanArray) -> pa.RecordBatch:
    """Return the rows of *batch* for which *mask*, which has no null and is not all false, is true."""
    try:
        return batch.filter(mask)
    except pa.ArrowNotImplementedError:  # a column of views, which Arrow can only slice
        rows = pc.indices_nonzero(mask).to_pylist()
        return pa.concat_batches([batch.slice(row, 1) for row in rows])
