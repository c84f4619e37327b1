"""How large the rows of a Parquet file are, by the first row group that has rows."""

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.inputs.columnar.pages import dictionary_page
from pipeline.system.places import Place

_SMALL_DICTIONARY = 4096
"""Bytes of a column whose dictionary cannot make its rows large."""

_MOST_DECODED = 256 << 20


class Shape:
    """The sizes of the columns of an open file, of which a row has been read.

    Attributes:
        names: The names of all columns.
        sizes: Bytes of each column in the row group, uncompressed; dictionaries and what refers to them as they are.
    """

    def __init__(self, path: Place, file: pq.ParquetFile) -> None:
        self._path = path
        self.names: list[str] = file.schema_arrow.names
        self.sizes = dict.fromkeys(self.names, 0)
        self._dictionaries: dict[str, list[int]] = {}
        self._kept_as_dictionaries = {
            field.name for field in file.schema_arrow if pa.types.is_dictionary(field.type)
        }
        self._rows = 0
        group = first_group(file.metadata)[1]
        for chunk in columns_of(group):
            self._rows = group.num_rows
            self._add(chunk)

    def rows_at_once(self, names: Sequence[str], max_rows: int, max_bytes: int) -> int:
        """Return how many rows of the columns *names* have about *max_bytes* when they are decoded, 1 to *max_rows*.

        A dictionary holds a cell once that many rows may have: they are taken to have its average cell, and may all have
        its largest one within `_MOST_DECODED` bytes.
        """
        row, largest = 0.0, 1
        for name in names:
            pages = [dictionary_page(self._path, offset) for offset in self._dictionaries.get(name, ())]
            stored = self.sizes[name] / max(1, self._rows)
            row += max(stored, sum(size / cells for size, cells in pages))
            largest = max([largest, *(size for size, _ in pages)])
        return max(1, int(min(max_rows, max_bytes / max(1.0, row), _MOST_DECODED / largest)))

    def _add(self, chunk: Any) -> None:
        name = chunk.path_in_schema
        while name not in self.sizes and "." in name:  # of a nested column, whose own name may have a dot
            name = name.rpartition(".")[0]
        if name not in self.sizes:
            return
        self.sizes[name] += chunk.total_uncompressed_size
        of_any_length = (
            chunk.physical_type == "BYTE_ARRAY" and chunk.total_uncompressed_size > _SMALL_DICTIONARY
        )
        if of_any_length and chunk.has_dictionary_page and name not in self._kept_as_dictionaries:
            self._dictionaries.setdefault(name, []).append(chunk.dictionary_page_offset or 0)


def first_group(footer: pq.FileMetaData) -> tuple[int, Any]:
    """Return the number of the first row group that has rows and the group; None for the group if none has rows."""
    groups = ((number, footer.row_group(number)) for number in range(footer.num_row_groups))
    return next(((number, group) for number, group in groups if group.num_rows), (0, None))


def columns_of(group: Any) -> Iterator[Any]:
    """Yield the columns of a row group from which a row has been read.

    On corrupt metadata a pyarrow reader raises, whereas this access aborts the process: so read a row first. For the
    same reason a column must never be asked for its `compression` before.
    """
    return (group.column(number) for number in range(group.num_columns if group else 0))
