"""Columns of Arrow as polars writes them to CSV and JSON: what text formats have no place for becomes text."""

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

_UUID = pa.uuid()


def frame_of(rows: pa.Table) -> pl.DataFrame:
    """Return *rows* with UUIDs and numbers that polars does not have as text, and bytes as base64.

    Raises:
        ValueError: If values of a type can become neither text nor JSON.
    """
    return pl.DataFrame([_series(name, rows.column(name)) for name in rows.column_names])


def as_json(column: pl.Series) -> pl.Series:
    """Return the values of a nested *column* as JSON; a null stays one."""
    # There is no JSON of a list as such: {"x":[1,2]} without what is around the list.
    encoded = column.alias("x").to_frame().select(pl.struct("x").struct.json_encode()).to_series()
    inner = encoded.str.slice(len('{"x":'), encoded.str.len_chars() - len('{"x":}'))
    return inner.set(column.is_null(), None).alias(column.name)


def is_nested(column: pl.Series) -> bool:
    """Return whether the values of *column* hold other values."""
    return column.dtype.is_nested()


def _series(name: str, column: pa.ChunkedArray) -> pl.Series:
    if column.type == _UUID:
        return _uuids(pl.Series(name, column.cast(pa.binary(16))))
    if isinstance(column.type, pa.BaseExtensionType):
        column = column.cast(column.type.storage_type)
    kind = column.type
    _ensure_known(kind)
    if _is_binary(kind):
        return pl.Series(name, column.cast(pa.large_binary())).bin.encode("base64")
    if pa.types.is_temporal(kind) or pa.types.is_decimal256(kind):
        return _texts(name, column)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        column = _valid(column)
    return pl.Series(name, column)


def _texts(name: str, column: pa.ChunkedArray) -> pl.Series:
    """Return the values as Arrow formats them, and as a prompt shows them: 2026-01-31 02:00:00."""
    try:
        return pl.Series(name, column.cast(pa.string()), pl.String)
    except pa.ArrowInvalid:  # a time zone that this machine does not know
        return pl.Series(name, column.cast(pa.timestamp(column.type.unit)).cast(pa.string()), pl.String) + "Z"


def _uuids(column: pl.Series) -> pl.Series:
    """Return the usual text of UUIDs, such as 00112233-4455-6677-8899-aabbccddeeff."""
    return column.bin.encode("hex").str.replace("^(.{8})(.{4})(.{4})(.{4})", "$1-$2-$3-$4-")


def _ensure_known(kind: pa.DataType) -> None:
    """Refuse what polars would abort on, as far as it is known: within nested values nothing can be converted first."""
    if (
        pa.types.is_interval(kind)
        or pa.types.is_union(kind)
        or pa.types.is_run_end_encoded(kind)
        or _is_view(kind)
    ):
        raise ValueError(f"there is no text for {kind}")
    for number in range(kind.num_fields):
        child = kind.field(number).type
        if _is_binary(child) or pa.types.is_decimal256(child) or isinstance(child, pa.BaseExtensionType):
            raise ValueError(f"there is no JSON for {child} within {kind}")
        _ensure_known(child)


def _is_view(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list_view(kind) or pa.types.is_large_list_view(kind))


def _is_binary(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
        or pa.types.is_binary_view(kind)
    )


def _valid(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return strings with U+FFFD for what is no UTF-8, since a text file is UTF-8 as a whole."""
    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        raw = pc.cast(column, pa.large_binary())
        cells = [None if cell is None else cell.decode("utf-8", "replace") for cell in raw.to_pylist()]
        return pa.chunked_array([cells], pa.string())
    return column
