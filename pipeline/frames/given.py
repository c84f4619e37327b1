"""What `classify` was given, seen as a table: its columns as Arrow has them, and the same thing again with labels."""

import sys
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import polars as pl
import pyarrow as pa

from pipeline.errors import UsageError
from pipeline.frames.of_arrow import GivenArrow
from pipeline.frames.of_pandas import GivenPandas
from pipeline.frames.of_polars import GivenPolars
from pipeline.frames.texts import GivenList, GivenPandasSeries, GivenPolarsSeries


class Given(Protocol):
    """A table in memory, of any library."""

    @property
    def names(self) -> Sequence[str]:
        """The names of its columns."""

    def column(self, name: str) -> pa.Array | pa.ChunkedArray:
        """Return a column.

        Raises:
            Exception: If Arrow has no such values.
        """

    def labelled(self, new: pa.Table) -> Any:
        """Return what was given with the columns *new* in place of those of the same names; or its labels alone."""


def given(frame: object) -> Given:
    """Return *frame* as a table.

    Raises:
        UsageError: If it is none that is known.
    """
    pandas = sys.modules.get("pandas")  # who has a frame of pandas has loaded it
    for kinds, known in (*_KNOWN, *(_of_pandas(pandas) if pandas else ())):
        if isinstance(frame, kinds):
            return known(frame)
    if hasattr(frame, "__arrow_c_stream__"):
        return GivenArrow(pa.table(frame))
    fix = (
        "put it in a list"
        if isinstance(frame, str)
        else "give a frame of polars, pandas or pyarrow, or a list of texts"
    )
    raise UsageError(f"frame: is of type {type(frame).__name__}; {fix}")


_Known = tuple[tuple[type, ...], Callable[[Any], Given]]

_KNOWN: Sequence[_Known] = (
    ((pl.DataFrame, pl.LazyFrame), GivenPolars),
    ((pl.Series,), GivenPolarsSeries),
    ((pa.Table, pa.RecordBatch), GivenArrow),
    ((list, tuple), GivenList),
)


def _of_pandas(pandas: Any) -> Sequence[_Known]:
    return ((pandas.DataFrame,), GivenPandas), ((pandas.Series,), GivenPandasSeries)
