"""The rows of the input beside those of the parts: both come cut in their own way, and go out as row groups."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa

from pipeline.outputs.parts import Parts
from pipeline.records import Span
from pipeline.system.prefetch import ahead

if TYPE_CHECKING:
    from pipeline.outputs.duplicates import Duplicates

ROW_GROUP_ROWS = 32_768  # with the next line: what publishing keeps in memory
ROW_GROUP_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class OutputFile:
    """One file to publish.

    Attributes:
        name: Its path within the output folder; unused where the output is a file.
        schema: The input columns that it keeps.
        batches: Reads them, in row order.
        spans: The spans of its parts, in row order, without gaps.
    """

    name: str
    schema: pa.Schema
    batches: Callable[[], Iterator[pa.RecordBatch]]
    spans: Sequence[Span]


class AlignedRows(NamedTuple):
    """Input rows, the same rows of a part, and which of them are duplicates."""

    rows: pa.RecordBatch
    part: pa.RecordBatch
    duplicates: pa.BooleanArray


class RowGroup(NamedTuple):
    """Portions that are written together."""

    rows: pa.Table
    part: pa.Table
    duplicates: pa.ChunkedArray

    @classmethod
    def of(cls, aligned: Sequence[AlignedRows]) -> "RowGroup":
        """Put *aligned* together; nothing is copied."""
        rows, parts, duplicates = zip(*aligned, strict=True)
        return cls(pa.Table.from_batches(rows), pa.Table.from_batches(parts), pa.chunked_array(duplicates))


@dataclass(frozen=True, slots=True)
class Joined:
    """The rows of an output file beside those of its parts."""

    parts: Parts
    duplicates: "Duplicates"
    go_on: Callable[[], None]

    def row_groups(self, output_file: OutputFile) -> Iterator[RowGroup]:
        """Yield all rows, in order."""
        waiting: list[AlignedRows] = []
        rows = size = 0
        for each in ahead(self._aligned(output_file)):
            waiting.append(each)
            rows, size = rows + each.rows.num_rows, size + each.rows.nbytes + each.part.nbytes
            if rows >= ROW_GROUP_ROWS or size >= ROW_GROUP_BYTES:
                yield RowGroup.of(waiting)
                waiting, rows, size = [], 0, 0
        if waiting:
            yield RowGroup.of(waiting)

    def _aligned(self, output_file: OutputFile) -> Iterator[AlignedRows]:
        """Yield all rows, cut wherever the input or a part is."""
        spans = iter(output_file.spans)
        part, first_row = None, 0
        for batch in output_file.batches():
            self.go_on()
            taken = 0
            while taken < batch.num_rows:
                if part is None or part.num_rows == 0:
                    span = next(spans)
                    part, first_row = self.parts.read(span), span.first_row
                count = min(batch.num_rows - taken, part.num_rows)
                flags = self.duplicates.among(first_row, count)
                yield AlignedRows(batch.slice(taken, count), part.slice(0, count), flags)
                part, first_row, taken = part.slice(count), first_row + count, taken + count
