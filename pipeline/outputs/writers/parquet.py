"""Write a Parquet file of the output."""

from collections.abc import Collection
from contextlib import ExitStack
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.outputs.writers.leaves import Leaf, leaves_by_column
from pipeline.outputs.writers.original import Original

_STORAGE = {"compression": "zstd"}
"""How a file is stored that was made from no other."""

_BUFFER_BYTES = 1 << 16
"""Written at once: a column takes pyarrow a dozen small writes, and most files of a large folder are small."""


class ParquetFileWriter:
    """Writes the rows of one Parquet file; see `Writer`."""

    def __init__(self, sink: Path, schema: pa.Schema, original: Original | None = None) -> None:
        """Open *sink* for rows of *schema*, to be stored as in the file *original*.

        Raises:
            pa.ArrowException: If Parquet has no place for one of its types.
        """
        storage: dict[str, Any] = (
            original.storage(_leaves(schema.remove_metadata())) if original else _STORAGE
        )
        with ExitStack() as opened:
            stream = opened.enter_context(pa.output_stream(sink, compression=None, buffer_size=_BUFFER_BYTES))
            self._file = opened.enter_context(
                pq.ParquetWriter(stream, schema, write_page_checksum=True, **storage)
            )
            self._opened = opened.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.__exit__(kind, error, trace)

    @property
    def remarks(self) -> Collection[str]:
        """None: all is written as it is."""
        return ()

    def write(self, rows: pa.Table) -> None:
        """Append *rows* as one row group."""
        self._file.write_table(rows)


def written_leaves(schema: pa.Schema, original: Original | None = None) -> dict[str, list[Leaf]]:
    """Return the leaves that columns of *schema* have in a file made from *original*, by the column's name.

    Raises:
        pa.ArrowException: If Parquet has no place for one of its types.
    """
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, schema, **(original.types() if original else {})):
        pass
    with pq.ParquetFile(sink.getvalue()) as file:
        return leaves_by_column(file)


_leaves = lru_cache(maxsize=8)(written_leaves)
"""Of a schema without metadata, as the thousands of files of a folder have one and the same."""
