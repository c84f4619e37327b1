"""Texts without a table around them: a list or a Series. They come back as their labels, of the same kind."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import polars as pl
import pyarrow as pa

from pipeline.errors import InputDataError
from pipeline.frames.of_pandas import values_of

if TYPE_CHECKING:
    import pandas as pd

TEXT = "text"
"""What the only column is called."""

T = TypeVar("T")


class _Texts(Generic[T]):
    names: Sequence[str] = (TEXT,)

    def __init__(self, texts: T) -> None:
        self._texts = texts


class GivenList(_Texts[Sequence[Any]]):
    """A list or a tuple of texts, in which None is a missing one."""

    def column(self, _: str) -> pa.Array:
        """Return the texts.

        Raises:
            InputDataError: If one is none.
        """
        for index, text in enumerate(self._texts):
            if text is not None and not isinstance(text, str):
                raise InputDataError(
                    f"frame: [{index}] is of type {type(text).__name__}; give a list of texts, or a frame for rows of several columns"
                )
        return pa.array(self._texts, pa.large_string())

    def labelled(self, new: pa.Table) -> list[Any]:
        """Return the labels."""
        labels: list[Any] = new.column(0).to_pylist()
        return labels


class GivenPolarsSeries(_Texts[pl.Series]):
    """A Series of polars."""

    def column(self, _: str) -> pa.Array:
        """Return the texts."""
        return self._texts.to_arrow()

    def labelled(self, new: pa.Table) -> pl.Series:
        """Return the labels."""
        return pl.Series(new.column_names[0], new.column(0))


class GivenPandasSeries(_Texts["pd.Series[Any]"]):
    """A Series of pandas; its index stays as it is."""

    def column(self, _: str) -> pa.Array | pa.ChunkedArray:
        """Return the texts."""
        return pa.array(self._texts, from_pandas=True)

    def labelled(self, new: pa.Table) -> "pd.Series[Any]":
        """Return the labels."""
        import pandas as pd  # noqa: PLC0415 - who has a Series has loaded it

        return pd.Series(values_of(new.column(0)), index=self._texts.index, name=new.column_names[0])
