"""What writes one file of the output: a writer for each format."""

from collections.abc import Collection
from types import TracebackType
from typing import Protocol, Self

import pyarrow as pa

# What a writer gets at once; together they bound the memory of publishing.
ROW_GROUP_ROWS = 32_768
ROW_GROUP_BYTES = 16 << 20


class Writer(Protocol):
    """Writes the rows of one file, whose schema it was opened with; a context manager that closes the file."""

    def __enter__(self) -> Self:
        """Return the writer."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finish the file."""

    def write(self, rows: pa.Table) -> None:
        """Append *rows*."""

    @property
    def remarks(self) -> Collection[str]:
        """What readers of the file ought to know about the cells that were written: sentences."""
