"""Dialects and records: what a delimiter, a quote and a header may be, and what is wrong with a record."""

import pytest

from pipeline.errors import ConfigError
from tests.inputs.samples import GOOD_CSV


@pytest.mark.parametrize("csv", [{"delimiter": "§"}, {"quote": ","}])
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
