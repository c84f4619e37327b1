"""Write a JSON Lines file of the output: an object a row, nested values as JSON has them; what is no number is null."""

from collections.abc import Collection
from io import BytesIO
from pathlib import Path

import pyarrow as pa

from pipeline.outputs.writers.stream import LineFile
from pipeline.outputs.writers.values import frame_of


class JsonLinesWriter(LineFile):
    """Writes the rows of one JSON Lines file; see `Writer`."""

    def __init__(self, sink: Path, *, packed: bool) -> None:
        """Open *sink*."""
        super().__init__(sink, packed=packed)

    @property
    def remarks(self) -> Collection[str]:
        """None."""
        return ()

    def write(self, rows: pa.Table) -> None:
        """Append *rows*."""
        self.append(lines_of(rows))


def lines_of(rows: pa.Table) -> bytes:
    """Return a line for each of *rows*.

    Raises:
        ValueError, pl.exceptions.PolarsError: If values of a type have no JSON.
    """
    lines = BytesIO()
    frame_of(rows).write_ndjson(lines)
    return lines.getvalue()
