"""Join input rows with the same rows of the parts, whose boundaries differ, into row groups."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.outputs.columns import skipped_row
from pipeline.outputs.duplicates import Duplicates
from pipeline.outputs.parts import Parts
from pipeline.outputs.writers import ROW_GROUP_BYTES, ROW_GROUP_ROWS
from pipeline.records import Span
from pipeline.system.prefetch import prefetch_sync

FEW_ROWS, FEW_BYTES = 4_096, 1 << 20
"""A file of so few is read in less time than it takes to start a thread for it, and several are held at once."""


@dataclass(frozen=True, slots=True)
class OutputFile:
    """One file of the output.

    Attributes:
        name: Its path within the output folder; unused if the output is a single file.
        schema: The input columns that it keeps.
        batches: Reads those columns, in row order.
        spans: The spans of its parts, in row order and without gaps.
        size: Bytes of its input, decoded.
        original: The Parquet file whose metadata and way of storing it keeps; None for none.
        matching: Returns which rows of a batch have a row in the parts; None if all have. The others are skipped.
    """

    name: str
    schema: pa.Schema
    batches: Callable[[], Iterator[pa.RecordBatch]]
    spans: Sequence[Span]
    size: int = 0
    original: Path | None = None
    matching: Callable[[pa.RecordBatch], pa.BooleanArray] | None = None

    @property
    def is_small(self) -> bool:
        """Whether it takes little time and memory."""
        return self.size <= FEW_BYTES and sum(span.rows for span in self.spans) <= FEW_ROWS


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
    duplicates: Duplicates
    ensure_running: Callable[[], None]
    row_group_rows: int = ROW_GROUP_ROWS

    def row_groups(self, output_file: OutputFile) -> Iterator[RowGroup]:
        """Yield all rows of *output_file*, in order."""
        waiting: list[AlignedRows] = []
        rows = size = 0
        found = self._aligned(output_file)
        for aligned in found if output_file.is_small else prefetch_sync(found):
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
        rows = _PartRows(self.parts, self.duplicates, iter(output_file.spans))
        for batch in output_file.batches():
            self.ensure_running()
            if output_file.matching is not None:
                yield rows.spread(batch, output_file.matching(batch))
                continue
            taken = 0
            for part, flags in rows.take(batch.num_rows):
                yield AlignedRows(batch.slice(taken, part.num_rows), part, flags)
                taken += part.num_rows


class _PartRows:
    """The rows of a file's parts, taken in order."""

    def __init__(self, parts: Parts, duplicates: Duplicates, spans: Iterator[Span]) -> None:
        self._parts, self._duplicates, self._spans = parts, duplicates, spans
        self._part, self._first_row = skipped_row(parts.schema).slice(1), 0

    def take(self, count: int) -> Iterator[tuple[pa.RecordBatch, pa.BooleanArray]]:
        """Yield the next *count* rows, each time those of one part, and which of them are duplicates."""
        while count:
            if self._part.num_rows == 0:
                span = next(self._spans)
                self._part, self._first_row = self._parts.read(span), span.first_row
            some = self._part.slice(0, count)
            yield some, self._duplicates.among(self._first_row, some.num_rows)
            self._part, self._first_row = self._part.slice(some.num_rows), self._first_row + some.num_rows
            count -= some.num_rows

    def spread(self, batch: pa.RecordBatch, matching: pa.BooleanArray) -> AlignedRows:
        """Return all rows of *batch* with the next rows of the parts beside those that are *matching*."""
        count = matching.true_count
        taken = [*self.take(count), (skipped_row(self._parts.schema), pa.array([False]))]
        parts, flags = zip(*taken, strict=True)
        places = pc.subtract(pc.cumulative_sum(matching.cast(pa.int64())), 1)
        places = pc.if_else(matching, places, count)  # the skipped row is the last one
        part = pa.Table.from_batches(parts).combine_chunks().take(places).to_batches()
        return AlignedRows(batch, part[0], pa.concat_arrays(flags).take(places))
