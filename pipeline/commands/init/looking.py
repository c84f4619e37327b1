"""Look at a table: find out how it is written, survey it, and take a sample of its columns."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipeline.commands.init.columns import Column, columns_of
from pipeline.commands.init.sniffing import readings
from pipeline.config import CsvSettings, InputSettings
from pipeline.errors import InputDataError, PipelineError
from pipeline.inputs.discover import discover
from pipeline.inputs.source import Source
from pipeline.inputs.survey import survey

MOST_TRIES = 12
"""How many ways of reading a CSV file are tried on the whole of it."""


@dataclass(frozen=True, slots=True)
class Looked:
    """A table that was looked at.

    Attributes:
        settings: The section `input` that reads it.
        source: The table.
        format: `parquet`, `csv`, `json` or `arrow`.
        columns: Its columns that can be used.
    """

    settings: InputSettings
    source: Source
    format: str
    columns: Sequence[Column]

    @property
    def rows(self) -> int:
        """Its number of rows."""
        return self.source.rows

    @property
    def sampled(self) -> int:
        """How many of them were looked at."""
        return len(self.columns[0].cells) if self.columns else 0


@contextmanager
def looked_at(table: str, *, header: bool | None = None) -> Iterator[Looked]:
    """Look at *table*, a file, a folder or a glob; copies of what is not Parquet are there while the block runs.

    Args:
        table: As `input.path` takes it, relative to the working directory.
        header: Whether the first line of a CSV file names the columns; None to find out.

    Raises:
        PipelineError: If it cannot be read, or has no rows.
    """
    with tempfile.TemporaryDirectory(prefix="pipeline-init-") as folder:
        settings, source = surveyed(table, Path(folder), header=header)
        if not source.rows:
            raise InputDataError(
                f"{table}: has no rows; init finds out from the rows what the columns are for"
            )
        yield Looked(settings, source, source.files[0].format, columns_of(source))


def surveyed(table: str, copies: Path, *, header: bool | None) -> tuple[InputSettings, Source]:
    """Return the first settings with which the whole table can be read, and the table; copies of what is not Parquet go to *copies*.

    Raises:
        PipelineError: If it cannot be read.
    """
    path = _settings(table, CsvSettings()).path
    first = discover(path)[0][0]
    tries = readings(first.path, header=header) if first.format == "csv" else [CsvSettings()]
    failure: PipelineError | None = None
    for csv in tries[:MOST_TRIES]:
        settings = _settings(table, csv)
        try:
            return settings, survey(settings, [], copies=copies)
        except InputDataError as error:
            failure = failure or error  # of the likeliest way
    raise failure or InputDataError(f"{table}: cannot be read")


def _settings(table: str, csv: CsvSettings) -> InputSettings:
    return InputSettings.model_validate({"path": table, "csv": csv}, context={"folder": Path.cwd()})
