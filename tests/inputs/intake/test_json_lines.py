"""JSON Lines: one schema for the whole file, values as they are written, and each fault with its line."""

import json
from contextlib import closing

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.inputs.intake.compression import Unpacked
from pipeline.inputs.intake.json_lines import tables
from pipeline.inputs.read import read_batches


@pytest.fixture
def rows(put, look):
    """Return the rows of JSON Lines, as they come in."""

    def rows(content, **csv):
        source = look(put("a.jsonl", content), source_column(content), **csv)
        return [row for batch in read_batches(source, source.files[0]) for row in batch.to_pylist()]

    return rows


def source_column(content):
    first = content if isinstance(content, str) else content.decode("utf-8-sig")
    return next(iter(json.loads(first.split("\n")[0])))


def test_values_are_exactly_as_they_are_written(rows):
    written = [
        {"text": "a\u0000\n\U0001f600", "n": 9223372036854775807, "f": 0.1, "at": "2024-01-01T00:00:00Z", "b": True},
        {"text": "", "n": -9223372036854775808, "f": -1e-300, "at": "2024-01-02", "b": None},
    ]  # fmt: skip
    assert rows("".join(json.dumps(row) + "\n" for row in written)) == written


def test_nested_values_stay_nested(rows):
    written = [
        {"text": "x", "tags": ["a", None], "meta": {"lang": "de", "score": [{"v": 1.5}]}},
        {"text": "y", "tags": [], "meta": None},
    ]
    assert rows("\n".join(map(json.dumps, written))) == written


@pytest.mark.slow
def test_the_schema_is_that_of_the_whole_file(put, look, rows):
    many = '{"text": "some words", "n": 1, "later": null}\n' * 400_000
    content = many + '{"text": "y", "n": 0.5, "later": [1], "last": "z"}\n'
    found = rows(content)
    assert found[0] == {"text": "some words", "n": 1.0, "later": None, "last": None}
    assert found[-1] == {"text": "y", "n": 0.5, "later": [1], "last": "z"}
    assert len(look(put("a.jsonl", content)).files[0].blocks) > 1


@pytest.mark.parametrize("name", ["a.jsonl", "a.ndjson", "a.jsonl.gz", "A.JSONL"])
def test_marks_blank_lines_and_a_missing_last_line_end_are_fine(put, read, name):
    assert read(put(name, '\ufeff{"text": "é"}\r\n\n  \n{"text": null}')) == {"text": ["é", None]}


def test_objects_without_keys_come_in_as_their_text(rows):
    assert rows('{"text": "x", "meta": {}}\n{"text": "y"}\n') == [
        {"text": "x", "meta": "{}"},
        {"text": "y", "meta": None},
    ]


MALFORMED = {
    "no JSON": (b'{"text": "x"}\n\n{"text": \n', [":3: is no JSON", "column 10"]),
    "cut in a string": (b'{"text": "x"}\n{"text": "y', [":2: is no JSON (Unterminated string"]),
    "two objects in a line": (b'{"text": "x"}\n{"text": "y"} {"text": "z"}\n', [":2: is no JSON (Extra data"]),
    "an object over two lines": (b'{"text":\n"x"}\n', [":1: is no JSON"]),
    "a list": (b'{"text": "x"}\n["y"]\n', [":2: is a list; write one object a line"]),
    "a key twice": (b'{"text": "x"}\n{"text": "y", "text": "z"}\n', [":2: key 'text' is there twice"]),
    "half a character": (b'{"text": "x"}\n{"text": "\\ud800"}\n', [":2: cannot be read", "surrogate"]),
    "no UTF-8": (b'{"text": "x"}\n{"text": "\xe9"}\n', [":2: byte 0xE9 is no UTF-8"]),
    "two types": (b'{"text": "x"}\n{"text": "y"}\n{"text": 1}\n', [":3: key 'text' holds number here, and string before"]),
    "two types, nested": (b'{"text": {"a": [1]}}\n{"text": {"a": ["x"]}}\n', [":2: key 'text.a.[]' holds string here"]),
    "two types, far apart": (
        b'{"text": "x", "n": 1}\n' * 300_000 + b'{"text": "x", "n": 0.5}\n{"text": "x", "n": "one"}\n',
        [":300002: key 'n' holds string here, and number before"],
    ),
    "a whole number beyond 64 bits": (
        b'{"text": "x", "n": 1.5}\n{"text": "x", "n": 18446744073709551615}\n',
        [":2: 18446744073709551615 has more digits", "string"],
    ),
    "a long whole number among floats": (
        b'{"text": "x", "n": [{"v": 0.5}]}\n{"text": "x", "n": [{"v": 9007199254740993}]}\n',
        [":2: 9007199254740993 has more digits"],
    ),
    "nested empty objects": (b'{"text": [{}]}\n', ["key 'text' has objects without any key"]),
    "no key": (b"{}\n{}\n", ["no object with a key"]),
    "blank": (b"\n\n", ["no object with a key"]),
}  # fmt: skip


@pytest.mark.parametrize("case", MALFORMED)
def test_a_line_that_cannot_be_read_is_refused_with_its_number(put, refused, case):
    content, words = MALFORMED[case]
    refused(put("a.jsonl", content), *words)


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
NUMBERS = st.integers(-(2**53), 2**53)
VALUES = st.fixed_dictionaries(
    {"text": TEXT},
    optional={
        "n": st.none() | NUMBERS,
        "f": st.none() | st.floats(allow_nan=False, allow_infinity=False) | NUMBERS,
        "l": st.none() | st.lists(TEXT | st.none(), max_size=3),
        "s": st.none() | st.fixed_dictionaries({"a": NUMBERS}, optional={"b": st.booleans()}),
    },
)


def filled(row, kind):
    """Return the row as a table has it: with nulls for the keys that are missing."""
    if row is None or not pa.types.is_struct(kind):
        return row
    return {field.name: filled(row.get(field.name), field.type) for field in kind}


@given(written=st.lists(VALUES, min_size=1, max_size=30), block_bytes=st.integers(1, 200))
@pytest.mark.slow
def test_any_rows_come_back_whatever_the_blocks(put, written, block_bytes):
    path = put("a.jsonl", "".join(json.dumps(row) + "\n" for row in written))
    with closing(Unpacked(path)) as raw:
        found = list(tables(path, raw, None, block_bytes=block_bytes))
    kind = pa.struct(list(found[0].schema))
    assert [row for table in found for row in table.to_pylist()] == [filled(row, kind) for row in written]
