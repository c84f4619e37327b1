"""Write a Parquet file of the output."""

from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq


class ParquetFileWriter:
    """Writes the rows of one Parquet file; see `Writer`."""

    def __init__(self, sink: Path | pa.NativeFile, schema: pa.Schema) -> None:
        """Open *sink* for rows of *schema*.

        Raises:
            pa.ArrowException: If Parquet has no place for one of its types.
        """
        self._file = pq.ParquetWriter(sink, schema, compression="zstd", write_page_checksum=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def write(self, rows: pa.Table) -> None:
        """Append *rows* as one row group."""
        self._file.write_table(rows)
