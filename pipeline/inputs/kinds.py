"""Arrow types of one meaning: the type to which the values of both can be cast, and whether all of them fit it."""

import decimal
import sys
from collections.abc import Callable

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.types as is_a

from pipeline import storage
from pipeline.system.places import Place


def common_type(first: pa.DataType, second: pa.DataType) -> pa.DataType | None:
    """Return the type that the values of two types have in common; None if they mean different things.

    Text is text, however it is stored, and so are numbers, moments in one time zone, and lists and structs of these;
    `null` goes with everything.
    """
    if first == second or is_a.is_null(second):
        return first
    if is_a.is_null(first):
        return second
    if not _alike(first, second):
        return None
    both_dictionaries = is_a.is_dictionary(first) and is_a.is_dictionary(second)
    pair = (first, second) if both_dictionaries else (_plain(first), _plain(second))
    try:
        schemas = [pa.schema([("", kind)]) for kind in pair]
        return pa.unify_schemas(schemas, promote_options="permissive").field(0).type
    except (pa.ArrowTypeError, pa.ArrowInvalid):
        return None


def always_fits(kind: pa.DataType, target: pa.DataType) -> bool:
    """Return whether every value of the type *kind* can be cast to *target*, its common type with another."""
    if kind == target or is_a.is_null(kind):
        return True
    try:
        _extremes(kind).cast(target)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return False
    return all(map(always_fits, _children(kind), _children(target)))


def values_fit(path: Place, column: str, kind: pa.DataType, target: pa.DataType) -> bool:
    """Return whether the values of a *column* of a Parquet file can be cast, as the extremes in its footer tell."""
    try:
        with storage.open_arrow(path) as file:
            footer = pq.read_metadata(file)
        groups = [footer.row_group(number) for number in range(footer.num_row_groups)]
        for group in (group for group in groups if group.num_rows):
            chunks = map(group.column, range(group.num_columns))
            found = next(chunk.statistics for chunk in chunks if chunk.path_in_schema == column)
            if found is None or not (found.has_min_max or found.null_count == group.num_rows):
                return False
            if found.has_min_max:
                pa.array([found.min, found.max], kind).cast(target)
    except (OSError, ValueError, OverflowError, StopIteration, pa.ArrowException):
        return False
    return True


def cast(column: pa.Array, target: pa.DataType) -> pa.Array:
    """Cast *column* to its common type with others.

    Raises:
        pa.ArrowException: If a value does not fit, contrary to what the file's footer tells.
    """
    if column.type == target:
        return column
    return pa.nulls(len(column), target) if is_a.is_null(column.type) else column.cast(target)


_FAMILIES: tuple[Callable[[pa.DataType], bool], ...] = (
    lambda kind: is_a.is_integer(kind) or is_a.is_floating(kind),
    lambda kind: is_a.is_string(kind) or is_a.is_large_string(kind) or is_a.is_string_view(kind),
    lambda kind: is_a.is_binary(kind) or is_a.is_large_binary(kind) or is_a.is_binary_view(kind),
    is_a.is_decimal,
    is_a.is_date,
    is_a.is_time,
    is_a.is_duration,
)
"""Types of one family mean the same; which of its values fit which type is another question."""


def _alike(first: pa.DataType, second: pa.DataType) -> bool:
    """Return whether two types mean the same."""
    first, second = _plain(first), _plain(second)
    if first == second or is_a.is_null(first) or is_a.is_null(second):
        return True
    if is_a.is_timestamp(first) and is_a.is_timestamp(second):
        return bool(first.tz == second.tz)
    if (shape := _shape(first)) is not None:
        return shape == _shape(second) and all(map(_alike, _children(first), _children(second)))
    return any(is_family(first) and is_family(second) for is_family in _FAMILIES)


def _plain(kind: pa.DataType) -> pa.DataType:
    """Return the usual type of the same values: no extension, no dictionary, no view."""
    if isinstance(kind, pa.BaseExtensionType):
        return _plain(kind.storage_type)
    if is_a.is_dictionary(kind):
        return _plain(kind.value_type)
    if is_a.is_struct(kind):
        return pa.struct([inner.with_type(_plain(inner.type)) for inner in kind])
    if is_a.is_map(kind):
        return pa.map_(_plain(kind.key_type), _plain(kind.item_type))
    if _is_list(kind):
        inner = kind.value_field.with_type(_plain(kind.value_type))
        is_long = is_a.is_large_list(kind) or is_a.is_large_list_view(kind)
        return pa.large_list(inner) if is_long else pa.list_(inner)
    return _WITHOUT_VIEW.get(kind, kind)


_WITHOUT_VIEW = {pa.string_view(): pa.large_string(), pa.binary_view(): pa.large_binary()}
_LISTS = (
    is_a.is_list,
    is_a.is_large_list,
    is_a.is_fixed_size_list,
    is_a.is_list_view,
    is_a.is_large_list_view,
)


def _is_list(kind: pa.DataType) -> bool:
    return any(is_one(kind) for is_one in _LISTS)


def _shape(kind: pa.DataType) -> tuple[str, ...] | None:
    """Return what two nested types need in common, beside their children; None for a type that is not nested."""
    if is_a.is_struct(kind):
        names = sorted(inner.name for inner in kind)
        return ("struct", *names) if len(set(names)) == len(names) else None
    if is_a.is_map(kind):
        return ("map",)
    return ("list",) if _is_list(kind) else None


def _children(kind: pa.DataType) -> list[pa.DataType]:
    """Return the types inside *kind*, those of a struct in the order of their names."""
    if is_a.is_struct(kind):
        return [inner.type for inner in sorted(kind, key=lambda inner: inner.name)]
    if is_a.is_map(kind):
        return [kind.key_type, kind.item_type]
    return [kind.value_type] if _is_list(kind) else []


def _extremes(kind: pa.DataType) -> pa.Array:
    """Return the least and the greatest value of an integer, a decimal, a moment or a duration; else two nulls."""
    if is_a.is_decimal(kind):
        most = decimal.Decimal(10**kind.precision - 1).scaleb(
            -kind.scale, decimal.Context(prec=kind.precision)
        )
        return pa.array([-most, most], kind)
    if is_a.is_integer(kind) or is_a.is_timestamp(kind) or is_a.is_duration(kind):
        bits = kind.bit_width
        is_unsigned = is_a.is_unsigned_integer(kind)
        ends = (0, 2**bits - 1) if is_unsigned else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        raw = b"".join(end.to_bytes(bits // 8, sys.byteorder, signed=not is_unsigned) for end in ends)
        return pa.Array.from_buffers(kind, 2, [None, pa.py_buffer(raw)])
    return pa.nulls(2, kind)
