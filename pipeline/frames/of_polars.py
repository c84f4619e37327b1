"""Frames of polars."""

from collections.abc import Sequence

import polars as pl
import pyarrow as pa


class GivenPolars:
    """A DataFrame, or a LazyFrame, which is collected once and given back as one."""

    def __init__(self, frame: pl.DataFrame | pl.LazyFrame) -> None:
        self._is_lazy = isinstance(frame, pl.LazyFrame)
        self._frame = frame.collect() if isinstance(frame, pl.LazyFrame) else frame

    @property
    def names(self) -> Sequence[str]:
        """The names of its columns."""
        return self._frame.columns

    def column(self, name: str) -> pa.Array:
        """Return a column."""
        return self._frame[name].to_arrow()

    def labelled(self, new: pa.Table) -> pl.DataFrame | pl.LazyFrame:
        """Return the frame with the columns *new*, at its end."""
        frame = pl.concat(
            [self._frame.drop(new.column_names, strict=False), pl.DataFrame(new)], how="horizontal"
        )
        return frame.lazy() if self._is_lazy else frame
