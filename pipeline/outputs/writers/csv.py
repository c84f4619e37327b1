"""Write a CSV file of the output: UTF-8, commas, a header, quotes where they are needed; null is nothing, an empty text "".

A text that a spreadsheet would run as a formula has an apostrophe before it; a text that is a number has none.
"""

from collections.abc import Collection
from io import BytesIO
from pathlib import Path

import polars as pl
import pyarrow as pa

from pipeline.outputs.writers.stream import LineFile
from pipeline.outputs.writers.values import as_json, frame_of, is_nested

_FORMULA = r"^[=+\-@\t\r]"
_NUMBER = r"^[+-]?([0-9]+[.,]?[0-9]*|[.,][0-9]+)([eE][+-]?[0-9]+)?$"

GUARDED = (
    "cells that begin with = + - @ a tab or a carriage return have an apostrophe before them, "
    "so that no spreadsheet runs them as a formula"
)


class CsvFileWriter(LineFile):
    """Writes the rows of one CSV file; see `Writer`."""

    def __init__(self, sink: Path, schema: pa.Schema, *, packed: bool) -> None:
        """Open *sink* for rows of *schema*."""
        super().__init__(sink, packed=packed)
        self._has_guarded = False
        self._append(pl.DataFrame([schema.names], orient="row", strict=False))

    @property
    def remarks(self) -> Collection[str]:
        """A sentence about guarded cells, if there are any."""
        return [GUARDED] if self._has_guarded else ()

    def write(self, rows: pa.Table) -> None:
        """Append *rows*."""
        self._append(cells(rows))

    def _append(self, texts: pl.DataFrame) -> None:
        texts, is_guarded = _guarded(texts)
        self._has_guarded |= is_guarded
        lines = BytesIO()
        texts.write_csv(lines, include_header=False)
        self.append(lines.getvalue())


def cells(rows: pa.Table) -> pl.DataFrame:
    """Return *rows* as what stands in their cells.

    Raises:
        ValueError, pl.exceptions.PolarsError: If values of a type have no text.
    """
    return pl.DataFrame([as_json(each) if is_nested(each) else each for each in frame_of(rows)])


def _guarded(texts: pl.DataFrame) -> tuple[pl.DataFrame, bool]:
    """Return *texts* with an apostrophe before each that is a formula to a spreadsheet; and whether there is one."""
    names = [each.name for each in texts if each.dtype in (pl.String, pl.Categorical, pl.Enum)]
    formulas = {
        name: (
            texts[name].cast(pl.String).str.contains(_FORMULA)
            & ~texts[name].cast(pl.String).str.contains(_NUMBER)
        )
        for name in names
    }
    found = [name for name, formula in formulas.items() if formula.any()]
    guarded = [
        pl.select(
            pl.when(formulas[name])
            .then("'" + texts[name].cast(pl.String))
            .otherwise(texts[name].cast(pl.String))
        )
        .to_series()
        .alias(name)
        for name in found
    ]
    return texts.with_columns(guarded), bool(found)
