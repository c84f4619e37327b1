"""Arrow columns as text: what a prompt shows of a number, a date, a dictionary or a string."""

import pyarrow as pa


def has_text(kind: pa.DataType) -> bool:
    """Whether values of this Arrow type have one obvious text: not nested, not binary, in no unknown time zone."""
    kind = _plain(kind)
    if pa.types.is_nested(kind) or _is_binary(kind):
        return False
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):  # the usual case, without pyarrow.compute
        return True
    sample = pa.array([0]).cast(kind) if pa.types.is_timestamp(kind) else pa.nulls(1, kind)
    try:
        sample.cast(pa.string())
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
        return False
    return True


def as_text(column: pa.Array) -> pa.Array:
    """The same cells as strings: Arrow's own words for them, so 1.10 as a decimal stays 1.10.

    Dictionaries stay dictionaries (of strings), because decoded they may be far larger.
    Raises pa.ArrowException where a cell has no text (a time zone that nobody knows).
    """
    if isinstance(column.type, pa.BaseExtensionType):
        column = column.storage
    if pa.types.is_dictionary(column.type):
        return pa.DictionaryArray.from_arrays(column.indices, as_text(column.dictionary))
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return column
    if pa.types.is_string_view(column.type):
        return column.cast(pa.large_string())
    return column.cast(pa.string())


def byte_lengths(text: pa.Array) -> pa.Array:
    """UTF-8 bytes of each cell, int64; 0 for a null. Takes what `as_text` gives."""
    import pyarrow.compute as pc  # noqa: PLC0415 - 50 ms that only reading needs, not `check`

    if pa.types.is_dictionary(text.type):
        lengths = pc.take(pc.binary_length(text.dictionary), text.indices)
    else:
        lengths = pc.binary_length(text)
    return pc.fill_null(lengths, 0).cast(pa.int64())


def cells(text: pa.Array) -> list[str | None]:
    """The cells as Python strings; bytes that are not UTF-8 become U+FFFD. Takes what `as_text` gives."""
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


def _plain(kind: pa.DataType) -> pa.DataType:
    """The type that is stored: without extension and dictionary around it."""
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
