"""Join input rows with the same rows of the parts, whose boundaries differ, into row groups."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa

from pipeline.outputs.parts import Parts
from pipeline.outputs.writers import ROW_GROUP_BYTES, ROW_GROUP_ROWS
from pipeline.records import Span
from pipeline.system.prefetch import prefetch_sync

if TYPE_CHECKING:
    from pipeline.outputs.duplicates import Duplicates


@dataclass(frozen=True, slots=True)
class OutputFile:
    """One file of the output.

    Attributes:
        name: Its path within the output folder; unused if the output is a single file.
        schema: The input columns that it keeps.
        batches: Reads those columns, in row order.
        spans: The spans of its parts, in row order and without gaps.
        original: The Parquet file whose metadata and way of storing it keeps; None for none.
    """

    name: str
    schema: pa.Schema
    batches: Callable[[], Iterator[pa.RecordBatch]]
    spans: Sequence[Span]
    original: Path | None = None


class AlignedRows(NamedTuple):
    """Input rows, the same rows of a part, and for each of them whether it is a duplicate."""

    rows: pa.RecordBatch
    part: pa.RecordBatch
    duplicates: pa.BooleanArray


class RowGroup(NamedTuple):
    """Rows that are written as one row group."""

    rows: pa.Table
    part: pa.Table
    duplicates: pa.ChunkedArray

    @classmethod
    def of(cls, aligned: Sequence[AlignedRows]) -> "RowGroup":
        """Concatenate *aligned* without copying."""
        rows, parts, duplicates = zip(*aligned, strict=True)
        return cls(pa.Table.from_batches(rows), pa.Table.from_batches(parts), pa.chunked_array(duplicates))


@dataclass(frozen=True, slots=True)
class Joiner:
    """Joins the rows of an output file with those of its parts.

    Attributes:
        parts: The new columns.
        duplicates: Knows which rows are duplicates.
        ensure_running: Called for every batch; raises to stop.
        row_group_rows: Number of rows at which a row group is complete, unless it has `ROW_GROUP_BYTES` before.
    """

    parts: Parts
    duplicates: "Duplicates"
    ensure_running: Callable[[], None]
    row_group_rows: int = ROW_GROUP_ROWS

    def row_groups(self, output_file: OutputFile) -> Iterator[RowGroup]:
        """Yield all rows of *output_file*, in order."""
        waiting: list[AlignedRows] = []
        rows = size = 0
        for aligned in prefetch_sync(self._aligned(output_file)):
            waiting.append(aligned)
            rows += aligned.rows.num_rows
            size += aligned.rows.nbytes + aligned.part.nbytes
            if rows >= self.row_group_rows or size >= ROW_GROUP_BYTES:
                yield RowGroup.of(waiting)
                waiting, rows, size = [], 0, 0
        if waiting:
            yield RowGroup.of(waiting)

    def _aligned(self, output_file: OutputFile) -> Iterator[AlignedRows]:
        """Yield all rows, split at the boundaries of both input batches and parts."""
        spans = iter(output_file.spans)
        part, first_row = None, 0
        for batch in output_file.batches():
            self.ensure_running()
            taken = 0
            while taken < batch.num_rows:
                if part is None or part.num_rows == 0:
                    span = next(spans)
                    part, first_row = self.parts.read(span), span.first_row
                count = min(batch.num_rows - taken, part.num_rows)
                flags = self.duplicates.among(first_row, count)
                yield AlignedRows(batch.slice(taken, count), part.slice(0, count), flags)
                part, first_row, taken = part.slice(count), first_row + count, taken + count
