"""Read an open file as if it had only the rows that match a condition."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.inputs.folders import Partitions
from pipeline.inputs.schema import conformed
from pipeline.inputs.source import Block, InputFile, Source, Table

if TYPE_CHECKING:  # imports polars
    from pipeline.inputs.where.expression import Where


@dataclass(frozen=True, slots=True)
class MatchingTable:
    """An open table without the rows that do not match; see `Table`."""

    table: Table
    where: "Where"
    schema: pa.Schema
    """The one of the whole input, for which the condition is written."""
    partitions: Partitions
    blocks: dict[int, Block]
    """The blocks with all their rows, by their offset."""

    @classmethod
    def of(cls, table: Table, source: Source, where: "Where", whole: InputFile) -> "MatchingTable":
        """Return the rows of *table*, the open file *whole* of *source*, that match."""
        blocks = {block.offset: block for block in whole.blocks}
        return cls(table, where, source.schema, whole.partitions, blocks)

    def batches(
        self, block: Block, columns: Sequence[str] | None, *, max_rows: int, max_bytes: int
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows of *block* that match."""
        stored = [name for name in self.where.columns if name not in self.partitions]
        needed = None if columns is None else list(dict.fromkeys([*columns, *stored]))
        whole = self.blocks[block.offset]
        for batch in self.table.batches(whole, needed, max_rows=max_rows, max_bytes=max_bytes):
            mask = self.where.matches(conformed(batch, self.schema, self.where.columns, self.partitions))
            if mask.true_count:
                wanted = batch if columns is None else batch.select(list(dict.fromkeys(columns)))
                yield filtered(wanted, mask)


def filtered(batch: pa.RecordBatch, mask: pa.BooleanArray) -> pa.RecordBatch:
    """Return the rows of *batch* for which *mask*, which has no null and is not all false, is true."""
    try:
        return batch.filter(mask)
    except pa.ArrowNotImplementedError:  # a column of views, which Arrow can only slice
        rows = pc.indices_nonzero(mask).to_pylist()
        return pa.concat_batches([batch.slice(row, 1) for row in rows])
