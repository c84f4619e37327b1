"""Join input rows with the same rows of the parts, whose boundaries differ, into row groups."""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import lru_cache, partial
from operator import attrgetter
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.outputs.columns import published, skipped_row
from pipeline.outputs.duplicates import Duplicates
from pipeline.outputs.parts import Parts
from pipeline.outputs.writers import ROW_GROUP_BYTES, ROW_GROUP_ROWS
from pipeline.outputs.writers.original import Original
from pipeline.records import Span
from pipeline.system.prefetch import prefetch_sync

FEW_ROWS, FEW_BYTES = 4_096, 1 << 20
"""A file of so few is read in less time than it takes to start a thread for it, and several are held at once."""

PARTS_KEPT = 2
"""Parts that stay in memory: one may have the rows of hundreds of small files, and where it ends, two are in use."""


class InputRows(NamedTuple):
    """An input file that is open to be joined.

    Attributes:
        batches: The columns that the output keeps, in row order.
        original: The Parquet file whose metadata and way of storing the output keeps; None for none.
    """

    batches: Iterator[pa.RecordBatch]
    original: Original | None = None


@dataclass(frozen=True, slots=True)
class OutputFile:
    """One file of the output.

    Attributes:
        name: Its path within the output folder; unused if the output is a single file.
        schema: The input columns that it keeps.
        opened: Opens its input.
        span: Its rows that are in the parts.
        size: Bytes of its input, decoded.
        matching: Returns which rows of a batch have a row in the parts; None if all have. The others are skipped.
    """

    name: str
    schema: pa.Schema
    opened: Callable[[], AbstractContextManager[InputRows]]
    span: Span
    size: int = 0
    matching: Callable[[pa.RecordBatch], pa.BooleanArray] | None = None

    @property
    def is_small(self) -> bool:
        """Whether it takes little time and memory."""
        return self.size <= FEW_BYTES and self.span.rows <= FEW_ROWS


class NewColumns:
    """The new columns of all rows, as they are published; any of them can be read, from several threads."""

    def __init__(self, parts: Parts, spans: Sequence[Span], duplicates: Duplicates) -> None:
        """Take them from *parts* that have the rows of *spans*, which are in order and without gaps."""
        self._spans = spans
        self._read = lru_cache(PARTS_KEPT)(partial(_published, parts, duplicates))
        self._skipped = published(skipped_row(parts.schema), pa.array([False]))

    def of(self, span: Span) -> Iterator[pa.RecordBatch]:
        """Yield those of the rows of *span*, in order, each time those of one part."""
        row, index = span.start, bisect_right(self._spans, span.start, key=attrgetter("stop"))
        while row < span.stop:
            part = self._spans[index]
            some = self._read(part).slice(row - part.start, span.stop - row)
            yield some
            row, index = row + some.num_rows, index + 1

    def spread(self, span: Span, matching: pa.BooleanArray) -> pa.RecordBatch:
        """Return as many as *matching* is long: those of the rows of *span* where it is true, of skipped rows elsewhere."""
        table = pa.Table.from_batches([*self.of(span), self._skipped])
        places = pc.subtract(pc.cumulative_sum(matching.cast(pa.int64())), 1)
        places = pc.if_else(matching, places, span.rows)  # the skipped row is the last one
        return table.combine_chunks().take(places).to_batches()[0]


def _published(parts: Parts, duplicates: Duplicates, span: Span) -> pa.RecordBatch:
    return published(parts.read(span), duplicates.among(span.start, span.rows))


class RowGroup(NamedTuple):
    """Rows of the input that are written as one row group, and their new columns."""

    rows: pa.Table
    new: pa.Table


@dataclass(frozen=True, slots=True)
class Joiner:
    """Joins the rows of an output file with their new columns.

    Attributes:
        new: The new columns.
        ensure_running: Called for every batch; raises to stop.
        row_group_rows: Number of rows at which a row group is complete, unless it has `ROW_GROUP_BYTES` before.
    """

    new: NewColumns
    ensure_running: Callable[[], None]
    row_group_rows: int = ROW_GROUP_ROWS

    def row_groups(self, output_file: OutputFile, batches: Iterator[pa.RecordBatch]) -> Iterator[RowGroup]:
        """Yield all rows of *output_file*, whose input's rows are *batches*, in order."""
        waiting: list[tuple[pa.RecordBatch, pa.RecordBatch]] = []
        rows = size = 0
        found = self._aligned(output_file, batches)
        for batch, new in found if output_file.is_small else prefetch_sync(found):
            waiting.append((batch, new))
            rows += batch.num_rows
            size += batch.nbytes + new.nbytes
            if rows >= self.row_group_rows or size >= ROW_GROUP_BYTES:
                yield RowGroup(*map(pa.Table.from_batches, zip(*waiting, strict=True)))
                waiting, rows, size = [], 0, 0
        if waiting:
            yield RowGroup(*map(pa.Table.from_batches, zip(*waiting, strict=True)))

    def _aligned(
        self, output_file: OutputFile, batches: Iterator[pa.RecordBatch]
    ) -> Iterator[tuple[pa.RecordBatch, pa.RecordBatch]]:
        """Yield all rows and their new columns, split at the boundaries of both input batches and parts."""
        row = output_file.span.start
        for batch in batches:
            self.ensure_running()
            if output_file.matching is not None:
                matching = output_file.matching(batch)
                matched = Span(row, row + matching.true_count)
                yield batch, self.new.spread(matched, matching)
                row = matched.stop
                continue
            taken = 0
            for new in self.new.of(Span(row, row + batch.num_rows)):
                yield batch.slice(taken, new.num_rows), new
                taken += new.num_rows
            row += taken
