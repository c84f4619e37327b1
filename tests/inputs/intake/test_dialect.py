"""Dialects and records: what a delimiter, a quote and a header may be, and what is wrong with a record."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config import CsvSettings
from pipeline.errors import ConfigError, InputDataError
from pipeline.inputs.intake.delimited import tables
from tests.inputs.samples import GOOD_CSV


@pytest.mark.parametrize("csv", [{"delimiter": "§"}, {"quote": ","}, {"comment": ","}, {"escape": "§"}])
def test_an_impossible_delimiter_or_quote_is_a_config_error(put, look, csv):
    with pytest.raises(ConfigError, match="csv"):
        look(put("a.csv", GOOD_CSV), **csv)


def test_a_repeated_column_name_is_fine_if_the_column_is_not_used(put, read):
    assert read(put("a.csv", "x,x,,text\n1,2,3,4\n")) == {"text": ["4"]}


def test_a_quoted_header_may_hold_delimiters_and_lines(put, read):
    assert read(put("a.csv", '"a,b","te\nxt"\r\n1,2\r\n'), "a,b", "te\nxt") == {"a,b": ["1"], "te\nxt": ["2"]}


def test_one_column_whose_name_has_a_delimiter_is_fine_when_it_is_the_used_one(put, read):
    assert read(put("a.csv", "a;b\nx\n"), "a;b") == {"a;b": ["x"]}


MALFORMED = {
    "a row with a cell more": ("a.csv", GOOD_CSV + "3,a,b\n", [":4:", "3 cells", "header has 2", "quote"]),
    "a row with a cell less": ("a.csv", GOOD_CSV + "3\n4,x\n", [":4:", "1 cell where", "header has 2"]),
    "a quote left open at the end": ("a.csv", GOOD_CSV + '3,"a\n4,b\n', [":4:", "cell 2", "nothing closes"]),
    "a quote that takes in other rows": ("a.csv", GOOD_CSV + '3,"a\n4,b\n5,"c"\n', [":4:", "cell 2", "closing quote"]),
    "text behind a quoted cell": ("a.csv", GOOD_CSV + '3,"a"b\n', [":4:", "cell 2", "closing quote"]),
    "an open quote in the header": ("a.csv", 'id,"text\n1,2\n', [":1:", "header", "quote"]),
    "the wrong delimiter": ("a.csv", "id;text\n1;one, two\n", ["'id;text'", "csv.delimiter to ';'"]),
    "the wrong delimiter, no comma": ("a.csv", "id\ttext\n1\tone\n", ["csv.delimiter to '\\t'"]),
    "blank lines only": ("a.csv", "\n\n\n", [":1:", "header"]),
}  # fmt: skip


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_record_is_refused_with_its_line_and_its_fault(put, refused, case):
    name, content, words = MALFORMED[case]
    refused(put(name, content() if callable(content) else content), *words)


DIALECTS = {
    "no header": ("1,a\n2,b\n", {"header": False}, {"column_1": ["1", "2"], "column_2": ["a", "b"]}),
    "names instead": ("1,a\n2,b\n", {"header": False, "columns": ["id", "text"]}, {"id": ["1", "2"], "text": ["a", "b"]}),
    "one row without a header": ('"a\nb"', {"header": False, "columns": ["text"]}, {"text": ["a\nb"]}),
    "a backslash before a quote": (
        'id,text\n1,"he said \\"hi\\", twice\n"\n2,a\\,b\n3,"c\\\\"\n',
        {"escape": "\\"},
        {"id": ["1", "2", "3"], "text": ['he said "hi", twice\n', "a,b", "c\\"]},
    ),
    "a word for null behind a backslash": ("id,text\n1,\\N\n\\N,x\\Ny\n", {"escape": "\\"}, {"id": ["1", None], "text": [None, "xNy"]}),
    "quotes like other characters": ('id\ttext\n1\t"a\n2\tb"\n', {"delimiter": "\t", "quote": None}, {"id": ["1", "2"], "text": ['"a', 'b"']}),
    "lines above the header": ('a "title\n\nid,text\n1,a\n', {"skip_lines": 2}, {"id": ["1"], "text": ["a"]}),
    "comments": (
        '# it\'s "one\n\nid,text\n#2,x\n1,"a\n# no comment"\n\n# "\n2,b # c\n# the end',
        {"comment": "#"},
        {"id": ["1", "2"], "text": ["a\n# no comment", "b # c"]},
    ),
    "Excel's first line": ("sep=;\r\nid;text\r\n1;a,b\r\n", {}, {"id": ["1"], "text": ["a,b"]}),
    "Excel's first line, quoted, behind a mark": ('\ufeff"sep=;"\nid;text\n1;a\n', {}, {"id": ["1"], "text": ["a"]}),
    "Excel's first line, and a setting": ("sep=,\nid;text\n1;a\n", {"delimiter": ";"}, {"id": ["1"], "text": ["a"]}),
}  # fmt: skip


@pytest.mark.parametrize("case", DIALECTS)
def test_a_dialect_is_read_as_set(put, read, case):
    content, csv, expected = DIALECTS[case]
    assert read(put("a.csv", content), *expected, **csv) == expected


def test_names_for_another_number_of_columns_are_refused(put, look):
    with pytest.raises(InputDataError, match=r"a.csv:1: the record has 3 cells where csv.columns has 2"):
        look(put("a.csv", "1,2,3\n"), header=False, columns=["id", "text"])


def test_a_backslash_that_hides_a_quote_is_told_of(put, refused):
    refused(put("a.csv", 'id,text\n1,"he said \\"hi\\" to me"\n'), ":2:", r'set csv.escape to "\\"')


@pytest.mark.slow
@settings(max_examples=300)
@given(
    rows=st.lists(st.lists(st.text('ab"\\,\n# ', max_size=5), min_size=2, max_size=2), max_size=6),
    block_bytes=st.integers(1, 20),
)
def test_any_cells_come_back_from_a_file_with_escapes(put, rows, block_bytes):
    def cell(text):
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

    path = put("a.csv", "id,text\n" + "".join(",".join(map(cell, row)) + "\n" for row in rows))
    with path.open("rb") as raw:
        found = list(tables(path, raw, CsvSettings(escape="\\"), block_bytes=block_bytes))
    assert [list(row.values()) for table in found for row in table.to_pylist()] == rows
