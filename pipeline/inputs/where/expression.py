"""An SQL expression over the columns of a row, in the dialect of polars, that is true for the rows of a job."""

from dataclasses import dataclass, field

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import ConfigError, InputDataError
from pipeline.inputs.schema import nearest

_QUOTES = "names that are no plain words stand in \"double quotes\", texts in 'single ones'"
_SUBQUERY = "_POLARS_TMP"


@dataclass(frozen=True, slots=True)
class Where:
    """A condition on the rows of a table.

    Attributes:
        text: As it is written in the config.
        columns: The columns that it reads, without repetitions.
        expression: The condition in polars. What the text says of today is fixed in it.
    """

    text: str
    columns: tuple[str, ...]
    expression: pl.Expr = field(repr=False)

    @property
    def identity(self) -> tuple[str, str]:
        """What tells one condition from another; with `current_date` in it, another one every day."""
        return self.text, str(self.expression)

    def matches(self, batch: pa.RecordBatch) -> pa.BooleanArray:
        """Return for each row of *batch* whether it matches; one for which that is unknown (NULL) does not.

        Raises:
            InputDataError: If the condition cannot be computed for a cell.
        """
        try:
            found = pl.DataFrame(batch.select(self.columns)).select(self.expression)
        except pl.exceptions.PolarsError as error:
            raise InputDataError(
                f"input.where: {_reason(error)}; try_cast(... as ...) is NULL for what does not fit"
            ) from error
        mask = found.to_series().to_arrow()
        return pc.fill_null(mask, fill_value=False)


def parse(text: str, schema: pa.Schema) -> Where:
    """Parse a condition on the rows of a table of this *schema*, and check it.

    Raises:
        ConfigError: If it is no condition on a single row, or does not fit the schema.
    """
    try:
        expression = pl.sql_expr(text)
        _refuse_more_than_a_row(expression)
    except pl.exceptions.PolarsError as error:
        raise _wrong(f"is no SQL expression on a row: {_reason(error)}; {_QUOTES}") from error
    columns = tuple(dict.fromkeys(expression.meta.root_names()))
    if not columns:
        raise _wrong("names no column; compare one, as in section = 'net'")
    _refuse_unknown(columns, schema.names)
    try:
        empty = pa.schema([schema.field(name) for name in columns]).empty_table()
        types = pl.DataFrame(empty).select(expression).dtypes
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, pa.ArrowException) as error:
        shown = ", ".join(f"{name} is {schema.field(name).type}" for name in columns)
        raise _wrong(
            f"does not fit the columns ({shown}): {_reason(error)}; "
            "compare like with like: cast(price as double) > 2, cast(day as date) > date '2026-01-31'"
        ) from error
    if types != [pl.Boolean]:
        raise _wrong("is neither true nor false; compare something, as in section = 'net'")
    return Where(text, columns, expression)


def _refuse_more_than_a_row(expression: pl.Expr) -> None:
    """Raise if a part of *expression* needs other rows than its own or gives other than one value a row.

    Rows are read in batches, so an average would be one of the batch.
    """
    meta = expression.meta
    try:
        is_single = meta.is_length_preserving() or not meta.root_names()
        alone = meta.is_literal() or (meta.is_row_separable() and is_single)
    except pl.exceptions.ColumnNotFoundError:  # polars resolves IN only with the table at hand
        alone = not any(name.startswith(_SUBQUERY) for name in meta.root_names())
    if not alone:
        raise _wrong(f"looks beyond the row in {expression}; leave out aggregates, windows and subqueries")
    for part in meta.pop():
        _refuse_more_than_a_row(part)


def _refuse_unknown(columns: tuple[str, ...], names: list[str]) -> None:
    for name in columns:
        if names.count(name) > 1:
            raise _wrong(f"the input has {names.count(name)} columns named {name!r}; rename all but one")
        if name not in names:
            inner = (each for each in names if each.startswith(f"{name}."))  # as in review.text = ''
            near = next(inner, None) or nearest(name, names)
            meant = f"did you mean {near!r}? " if near else ""
            raise _wrong(f"the input has no column {name!r}; {meant}{_QUOTES}")


def _wrong(sentence: str) -> ConfigError:
    return ConfigError(f"input.where: {sentence}")


def _reason(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
