"""The leaves of a Parquet file's columns: what is stored, of which a nested column has several."""

import re
from dataclasses import dataclass
from itertools import islice

import pyarrow as pa
import pyarrow.parquet as pq

_WIDTHS = {"INT32": 4, "FLOAT": 4, "INT64": 8, "DOUBLE": 8, "INT96": 12}
_HELPFUL = 0.9
"""A dictionary that leaves more of the plain values' bytes than this was given up by the writer, or ought to be."""

_PLAINLY_NAMED = ("DELTA_BINARY_PACKED", "DELTA_LENGTH_BYTE_ARRAY", "DELTA_BYTE_ARRAY", "BYTE_STREAM_SPLIT")
"""Encodings of values that a footer tells for sure: RLE may be that of the levels, and PLAIN is what is left."""


_HOW_SET = re.compile(r", (is_from_converted_type|force_set_converted_type)=\w+")


@dataclass(frozen=True, slots=True)
class Leaf:
    """A stored column, as a footer describes it.

    Attributes:
        path: Its path in the schema, by which a writer's settings name it.
        physical: Its physical type.
        kind: Its type as Parquet names it: the logical one, or the physical one of a column that has no other.
        codec: How it is compressed; None in a file without rows, as are the others.
        has_dictionary: Whether it has a dictionary that makes it smaller.
        encoding: How its values are stored if that is neither plain nor a dictionary.
    """

    path: str
    physical: str
    kind: str
    codec: str | None = None
    has_dictionary: bool = False
    encoding: str | None = None

    @classmethod
    def of(cls, column: pq.ColumnSchema, chunk: pq.ColumnChunkMetaData | None) -> "Leaf":
        """Describe a column by the schema and by what is stored of it in a row group, if there is one."""
        logical = _HOW_SET.sub("", str(column.logical_type))
        leaf = (column.path, column.physical_type, column.physical_type if logical == "None" else logical)
        if chunk is None:
            return cls(*leaf)
        width = _WIDTHS.get(column.physical_type, column.length or 0)
        plain = chunk.num_values * width
        helps = chunk.has_dictionary_page and not 0 < plain * _HELPFUL < chunk.total_uncompressed_size
        encoding = next((each for each in _PLAINLY_NAMED if each in chunk.encodings), None)
        return cls(*leaf, chunk.compression, helps, encoding)


def leaves_by_column(file: pq.ParquetFile) -> dict[str, list[Leaf]]:
    """Return the leaves of each column of *file*, by its name.

    A row of the file must have been read before: pyarrow aborts the process on what a damaged footer tells of a column.
    """
    footer = file.metadata
    groups = map(footer.row_group, range(footer.num_row_groups))
    group = next((each for each in groups if each.num_rows), None)
    every = (
        Leaf.of(file.schema.column(number), group and group.column(number))
        for number in range(len(file.schema))
    )
    return {field.name: list(islice(every, _count(field.type))) for field in file.schema_arrow}


def _count(kind: pa.DataType) -> int:
    """Return the number of leaves of a column of type *kind*."""
    if isinstance(kind, pa.BaseExtensionType):
        return _count(kind.storage_type)
    if not pa.types.is_nested(kind):
        return 1
    if pa.types.is_map(kind):
        return _count(kind.key_type) + _count(kind.item_type)
    return sum(_count(kind.field(number).type) for number in range(kind.num_fields))
