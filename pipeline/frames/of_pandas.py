"""Frames of pandas, which is imported only by who has one."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pipeline.errors import InputDataError

if TYPE_CHECKING:
    import pandas as pd


class GivenPandas:
    """A DataFrame; its index stays as it is."""

    def __init__(self, frame: "pd.DataFrame") -> None:
        if frame.columns.nlevels > 1:
            raise InputDataError("frame: its columns have names of several levels; give each a single name")
        self._frame = frame

    @property
    def names(self) -> Sequence[str]:
        """The names of its columns, as texts."""
        return [str(name) for name in self._frame.columns]

    def column(self, name: str) -> pa.Array | pa.ChunkedArray:
        """Return a column; NaN is a missing value, as pandas has it."""
        return pa.array(self._frame.iloc[:, self.names.index(name)], from_pandas=True)

    def labelled(self, new: pa.Table) -> "pd.DataFrame":
        """Return the frame with the columns *new*, at its end."""
        kept = [index for index, name in enumerate(self.names) if name not in new.column_names]
        # A shallow copy: nothing of the caller's is touched when columns are put beside its own.
        frame = (
            self._frame.copy(deep=False) if len(kept) == len(self.names) else self._frame.iloc[:, kept].copy()
        )
        for name, values in zip(new.column_names, map(values_of, new.columns), strict=True):
            frame[name] = values
        return frame


def values_of(column: pa.ChunkedArray) -> Any:
    """Return the values of one of our columns: texts, booleans and numbers as pandas has them, lists of labels as lists.

    Tokens are whole numbers even where one is missing, so that a column's type does not depend on how the rows went.
    """
    import pandas as pd  # noqa: PLC0415 - see above

    if pa.types.is_list(column.type):
        return pd.Series(column.to_pylist(), dtype=object).array
    if pa.types.is_int64(column.type):
        return pd.array(column.to_pylist(), dtype="Int64")
    return column.to_pandas().array
