"""Convert Arrow columns to text, as a prompt shows a number, a date, a dictionary or a string."""

from collections.abc import Sequence

import pyarrow as pa

_UUID, _UUID_BYTES = pa.uuid(), 16


def has_text(kind: pa.DataType) -> bool:
    """Return whether values of an Arrow type have an obvious text: not nested, not binary, in no unknown time zone."""
    if kind == _UUID:
        return True
    kind = _plain(kind)
    if pa.types.is_nested(kind) or _is_binary(kind):
        return False
    # The usual case first, because a cast imports pyarrow.compute.
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return True
    sample = pa.array([0]).cast(kind) if pa.types.is_timestamp(kind) else pa.nulls(1, kind)
    try:
        sample.cast(pa.string())
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
        return False
    return True


def names_labels(kind: pa.DataType) -> bool:
    """Return whether values of an Arrow type may be right labels: they have a text, or are lists of such."""
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return has_text(kind.value_type if is_list else kind)


def as_text(column: pa.Array) -> pa.Array:
    """Cast *column* to strings as Arrow formats its values: the decimal 1.10 stays 1.10.

    A dictionary stays a dictionary, of strings, because it may be far larger when decoded.

    Raises:
        pa.ArrowException: If a cell has no text, such as a time in an unknown time zone.
    """
    if column.type == _UUID:
        return _uuids(column.storage)
    if isinstance(column.type, pa.BaseExtensionType):
        column = column.storage
    if pa.types.is_dictionary(column.type):
        return pa.DictionaryArray.from_arrays(column.indices, as_text(column.dictionary))
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return column
    if pa.types.is_string_view(column.type):
        return column.cast(pa.large_string())
    return column.cast(pa.string())


def without(text: pa.Array, words: Sequence[str]) -> pa.Array:
    """Return the cells with a null for each that is one of *words*; *text* comes from `as_text`."""
    if not words or pa.types.is_dictionary(text.type):
        return text
    import pyarrow.compute as pc  # noqa: PLC0415 - as below

    found = pc.is_in(text, value_set=pa.array(words, text.type))
    return pc.if_else(found, pa.scalar(None, text.type), text) if pc.any(found).as_py() else text


def byte_lengths(text: pa.Array) -> pa.Array:
    """Return the UTF-8 bytes of each cell as int64, 0 for a null; *text* comes from `as_text`."""
    import pyarrow.compute as pc  # noqa: PLC0415 - takes 50 ms to import, and `check` does not need it

    if pa.types.is_dictionary(text.type):
        lengths = pc.take(pc.binary_length(text.dictionary), text.indices)
    else:
        lengths = pc.binary_length(text)
    return pc.fill_null(lengths, 0).cast(pa.int64())


def cells(text: pa.Array) -> list[str | None]:
    """Return the cells as Python strings, with U+FFFD for invalid UTF-8; *text* comes from `as_text`."""
    if pa.types.is_dictionary(text.type):
        if len(text.dictionary) > len(text):
            return cells(text.dictionary_decode())
        words = cells(text.dictionary)
        return [None if index is None else words[index] for index in text.indices.to_pylist()]
    try:
        found: list[str | None] = text.to_pylist()
    except UnicodeDecodeError:
        raw = text.view(pa.large_binary() if pa.types.is_large_string(text.type) else pa.binary())
        return [None if cell is None else cell.decode("utf-8", "replace") for cell in raw.to_pylist()]
    return found


def _uuids(column: pa.FixedSizeBinaryArray) -> pa.Array:
    """Return the usual text of UUIDs, such as 00112233-4455-6677-8899-aabbccddeeff."""
    import pyarrow.compute as pc  # noqa: PLC0415 - takes 50 ms to import, and `check` does not need it

    raw = column.buffers()[1][column.offset * _UUID_BYTES :][: len(column) * _UUID_BYTES]
    digits = pa.py_buffer(raw.to_pybytes().hex().encode())
    plain = pa.FixedSizeBinaryArray.from_buffers(pa.binary(2 * _UUID_BYTES), len(column), [None, digits])
    text = pc.replace_substring_regex(
        plain.cast(pa.binary()).cast(pa.string()), "^(.{8})(.{4})(.{4})(.{4})", r"\1-\2-\3-\4-"
    )
    return pc.if_else(column.is_valid(), text, None)


def _plain(kind: pa.DataType) -> pa.DataType:
    """Return the storage type, without the extension and the dictionary around it."""
    if isinstance(kind, pa.BaseExtensionType):
        return _plain(kind.storage_type)
    return _plain(kind.value_type) if pa.types.is_dictionary(kind) else kind


def _is_binary(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
        or pa.types.is_binary_view(kind)
    )
