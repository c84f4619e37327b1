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
class Sheet:
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


class Portion(NamedTuple):
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
    def of(cls, portions: Sequence[Portion]) -> "RowGroup":
        """Put *portions* together; nothing is copied."""
        rows, parts, duplicates = zip(*portions, strict=True)
        return cls(pa.Table.from_batches(rows), pa.Table.from_batches(parts), pa.chunked_array(duplicates))


@dataclass(frozen=True, slots=True)
class Joined:
    """The rows of a sheet beside those of its parts."""

    parts: Parts
    duplicates: "Duplicates"
    go_on: Callable[[], None]

    def row_groups(self, sheet: Sheet) -> Iterator[RowGroup]:
        """Yield all rows, in order."""
        waiting: list[Portion] = []
        rows = size = 0
        for portion in ahead(self._portions(sheet)):
            waiting.append(portion)
            rows, size = rows + portion.rows.num_rows, size + portion.rows.nbytes + portion.part.nbytes
            if rows >= ROW_GROUP_ROWS or size >= ROW_GROUP_BYTES:
                yield RowGroup.of(waiting)
                waiting, rows, size = [], 0, 0
        if waiting:
            yield RowGroup.of(waiting)

    def _portions(self, sheet: Sheet) -> Iterator[Portion]:
        """Yield all rows, cut wherever the input or a part is."""
        spans = iter(sheet.spans)
        part, first_row = None, 0
        for batch in sheet.batches():
            self.go_on()
            taken = 0
            while taken < batch.num_rows:
                if part is None or part.num_rows == 0:
                    span = next(spans)
                    part, first_row = self.parts.read(span), span.first_row
                count = min(batch.num_rows - taken, part.num_rows)
                flags = self.duplicates.among(first_row, count)
                yield Portion(batch.slice(taken, count), part.slice(0, count), flags)
                part, first_row, taken = part.slice(count), first_row + count, taken + count
