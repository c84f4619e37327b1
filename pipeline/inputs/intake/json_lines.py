"""JSON Lines: pyarrow parses the objects, with one schema for the whole file.

The first pass finds the schema, the second one reads: a key may come late, and be null or whole numbers before.
"""

import json
import re
from collections.abc import Callable, Generator, Iterator
from typing import NoReturn, TypeAlias

import pyarrow as pa
import pyarrow.json as pa_json

from pipeline.config import CsvSettings
from pipeline.errors import InputDataError
from pipeline.inputs.intake.compression import Unpacked
from pipeline.inputs.intake.numbers import first_inexact
from pipeline.system.places import Place

_BLOCK_BYTES = 4 << 20
_LINE_BYTES = 256 << 20  # the longest line; reading it takes a few times as much memory
Change: TypeAlias = Callable[[pa.DataType], pa.DataType]
_BOM = b"\xef\xbb\xbf"


def tables(
    path: Place, raw: Unpacked, settings: CsvSettings, *, block_bytes: int = _BLOCK_BYTES
) -> Generator[pa.Table]:
    """Yield the rows of a file, nested values as lists and structs; see `Format`."""
    del settings
    schema = pa.schema([])
    for line, block in _blocks(path, raw, block_bytes):
        schema = _with(schema, path, line, block)
    # pyarrow makes lists of the type null that are shorter than they say.
    schema = pa.schema([(each.name, _mapped(each.type, _as_it_is, _never_null)) for each in schema])
    if not schema.names:
        raise InputDataError(f"{path}: holds no object with a key; write one object a line")
    raw.rewind()
    yield _without_empty_structs(path, schema.empty_table())
    for line, block in _blocks(path, raw, block_bytes):
        table = _parsed(block, schema)
        if (found := first_inexact(table, block)) is not None:
            number, value = found
            _refuse(path, line + number, f"{value} has more digits than a number keeps; write it as a string")
        yield _without_empty_structs(path, table)


def _blocks(path: Place, raw: Unpacked, size: int) -> Iterator[tuple[int, bytes]]:
    """Yield whole lines in blocks of about *size* bytes, each after the number of its first line; none that is blank."""
    line, rest = 1, raw.read(len(_BOM)).removeprefix(_BOM)
    while data := raw.read(max(size, len(rest))):
        whole, end, begun = data.rpartition(b"\n")
        if not end:
            rest += data
            if len(rest) > _LINE_BYTES:
                _refuse(
                    path, line, f"the line is longer than {_LINE_BYTES >> 20} MiB; write one object a line"
                )
            continue
        block, rest = rest + whole + end, begun
        if block.strip():
            yield line, block
        line += block.count(b"\n")
    if rest.strip():
        yield line, rest


def _with(schema: pa.Schema, path: Place, line: int, block: bytes) -> pa.Schema:
    """Return *schema* widened by what is in *block*, which is checked."""
    lines = block.split(b"\n")
    try:
        block.decode()
        return pa.unify_schemas([schema, _inferred(block, lines)], promote_options="permissive")
    except UnicodeDecodeError as error:
        at = line + block[: error.start].count(b"\n")
        _refuse(path, at, f"byte 0x{block[error.start]:02X} is no UTF-8; write the file again as UTF-8")
    except RecursionError:
        _refuse(path, line, f"{_TOO_DEEP} (this line or one of the next)")
    except pa.ArrowTypeError as error:  # of this block's types and those before
        wide = pa.schema([(field.name, _mapped(field.type, _widest)) for field in schema])
        _refuse_line(path, line, lines, error, wide)
    except pa.ArrowInvalid as error:
        _refuse_line(path, line, lines, error, None)


def _inferred(block: bytes, lines: list[bytes]) -> pa.Schema:
    """Return the schema of a block.

    Raises:
        pa.ArrowInvalid: If not each line that is not blank is an object.
    """
    found = _parsed(block)
    if found.num_rows != sum(map(bool, map(bytes.strip, lines))):
        raise pa.ArrowInvalid("an object is written over several lines, or several are in one")
    return pa.schema([(field.name, _mapped(field.type, _as_written)) for field in found.schema])


def _parsed(block: bytes, schema: pa.Schema | None = None) -> pa.Table:
    return pa_json.read_json(
        pa.BufferReader(block),
        pa_json.ReadOptions(use_threads=False, block_size=len(block) + 1),
        pa_json.ParseOptions(explicit_schema=schema),
    )


def _mapped(kind: pa.DataType, change: Change, inside: Change | None = None) -> pa.DataType:
    """Return a type after *change*, or with all types in it that are not nested after *inside*."""
    inside = inside or change
    if pa.types.is_list(kind):
        return pa.list_(_mapped(kind.value_type, inside))
    if pa.types.is_struct(kind):
        return pa.struct([(field.name, _mapped(field.type, inside)) for field in kind])
    return change(kind)


def _as_it_is(kind: pa.DataType) -> pa.DataType:
    return kind


def _never_null(kind: pa.DataType) -> pa.DataType:
    return pa.string() if pa.types.is_null(kind) else kind


def _as_written(kind: pa.DataType) -> pa.DataType:
    """Keep text that looks like a time as text: it would not come out as it was written."""
    return pa.string() if pa.types.is_timestamp(kind) else kind


def _widest(kind: pa.DataType) -> pa.DataType:
    return pa.float64() if pa.types.is_integer(kind) else kind


def _without_empty_structs(path: Place, table: pa.Table) -> pa.Table:
    """Return the table with the text {} in columns of objects that have no keys: Parquet cannot hold these."""
    for number, field in enumerate(table.schema):
        if field.type == pa.struct([]):
            cells = [None if cell is None else "{}" for cell in table.column(number).to_pylist()]
            table = table.set_column(number, field.name, pa.array(cells, pa.string()))
        elif _is_partly_empty(field.type):
            raise InputDataError(
                f"{path}: key {field.name!r} has objects without any key in it, which no table can hold; leave them out"
            )
    return table


def _is_partly_empty(kind: pa.DataType) -> bool:
    if pa.types.is_list(kind):
        return _is_partly_empty(kind.value_type)
    return pa.types.is_struct(kind) and (
        not kind.num_fields or any(_is_partly_empty(field.type) for field in kind)
    )


def _refuse_line(
    path: Place, first: int, lines: list[bytes], error: pa.ArrowException, schema: pa.Schema | None
) -> NoReturn:
    """Raise InputDataError for the first of *lines* that cannot be read with those before it."""
    for number, line in enumerate(lines):
        try:
            found = json.loads(line) if line.strip() else {}
        except json.JSONDecodeError as bad:
            what = f"is no JSON ({bad.msg} at column {bad.colno}); write one object a line"
            _refuse(path, first + number, what)
        except RecursionError:
            _refuse(path, first + number, _TOO_DEEP)
        if not isinstance(found, dict):
            _refuse(path, first + number, f"is {_NAMES[type(found)]}; write one object a line")
    good, bad_count = 0, len(lines)
    while bad_count - good > 1:
        middle = (good + bad_count) // 2
        fault = _fault(lines[:middle], schema)
        good, bad_count, error = (good, middle, fault) if fault else (middle, bad_count, error)
    _refuse(path, first + good, _worded(error))


def _fault(lines: list[bytes], schema: pa.Schema | None) -> pa.ArrowException | None:
    """Return why *lines* cannot be read together, or None."""
    try:
        if any(map(bytes.strip, lines)):
            _parsed(b"\n".join(lines), schema)
    except pa.ArrowException as error:
        return error
    return None


def _worded(error: pa.ArrowException) -> str:
    if found := re.search(r"Column\(/(?P<key>.*)\) changed from (?P<old>\w+) to (?P<new>\w+)", str(error)):
        key, old, new = found["key"].replace("/", "."), found["old"], found["new"]
        return f"key {key!r} holds {new} here, and {old} before; write one type, such as strings"
    if found := re.search(r"Column\(/(?P<key>.*)\) was specified twice", str(error)):
        return f"key {found['key'].replace('/', '.')!r} is there twice; write it once"
    return f"cannot be read ({' '.join(str(error).split())}); write one object a line"


def _refuse(path: Place, line: int, what: str) -> NoReturn:
    raise InputDataError(f"{path}:{line}: {what}")


_TOO_DEEP = "is nested too deep; write it flatter"

_NAMES = {
    list: "a list",
    str: "a string",
    int: "a number",
    float: "a number",
    bool: "true or false",
    type(None): "null",
}
