"""The scan of a CSV file: it accepts exactly what a strict reader does, and locates every fault by line and row."""

import csv
import io

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.config import CsvSettings
from pipeline.errors import InputDataError
from pipeline.inputs.intake.delimited import tables
from tests.inputs.samples import GOOD_CSV

PIECES = st.sampled_from(["a", "b", '"', '""', ",", ",", "\n", "\r\n", "\r", "é", "\ufeff", " "])
BODIES = st.lists(PIECES, max_size=30).map("".join)


def strictly(text, width):
    """Read the records with the standard library's strict reader; None if it refuses them."""
    rows = []
    try:
        for row in csv.reader(io.StringIO(text, newline=""), strict=True):
            cells = [""] if width == 1 and not row else row
            if cells and len(cells) != width:
                return None
            rows += [cells] if cells else []
    except csv.Error:
        return None
    return rows[1:]


def by_blocks(path, block_bytes):
    """Read the records with our reader in blocks of *block_bytes*; None if it refuses them."""
    try:
        with path.open("rb") as raw:
            found = list(tables(path, raw, CsvSettings(), block_bytes=block_bytes))
    except InputDataError:
        return None
    return [[cell or "" for cell in row.values()] for table in found for row in table.to_pylist()]


@settings(max_examples=400)
@given(body=BODIES, width=st.integers(1, 3), block_bytes=st.integers(1, 12))
@example(body='a\r\r\n"b\n', width=1, block_bytes=2)
@example(body="\ufeffa,b\n", width=2, block_bytes=1)
@pytest.mark.slow
def test_we_read_or_refuse_what_the_strict_reader_of_python_does(put, body, width, block_bytes):
    text = ",".join("abc"[:width]) + "\n" + body
    assert by_blocks(put("a.csv", text), block_bytes) == strictly(text, width)


@pytest.mark.slow
def test_a_record_that_never_ends_is_refused_before_it_fills_the_memory(put):
    def scan(content):
        path = put("a.csv", content)
        with path.open("rb") as raw:
            list(tables(path, raw, CsvSettings(), record_bytes=5 << 20))

    with pytest.raises(
        InputDataError, match=r"a.csv:3: the record is longer than 5 MiB; is a quote left open"
    ):
        scan('id,text\n1,a\n2,"' + "x\n" * (10 << 20))
    with pytest.raises(InputDataError, match=r"a.csv:2: the record has 3 cells"):
        scan("id,text\n1,2,3\n" + "1,2\n" * (2 << 20))


def test_the_line_of_a_fault_is_right_behind_cells_of_many_lines(put, look):
    text = "id,text\n" + '1,"a\nb\nc"\n' * 100_000 + "2,x,y\n"
    with pytest.raises(InputDataError, match=r"a.csv:300002: the record has 3 cells"):
        look(put("a.csv", text))


def test_a_bad_byte_far_into_a_file_is_found_by_row_and_line(put, look):
    text = b"id,text\n" + b'1,"a\nb"\n' * 300_000 + b"2,\xff\n"
    with pytest.raises(InputDataError, match=r"a.csv:600002: row 300000: byte 0xFF at 2400010 is no UTF-8"):
        look(put("a.csv", text))


UNDECLARED = {
    "UTF-16": ("a.csv", GOOD_CSV.encode("utf-16"), ["UTF-16", "csv.encoding"]),
    "UTF-16 without a mark": ("a.csv", GOOD_CSV.encode("utf-16-le"), ["UTF-16", "csv.encoding"]),
    "Latin-1": ("a.csv", "id,text\n1,one\n2,\xe9t\xe9\n".encode("latin-1"), [":3:", "row 1", "0xE9 at 16", "latin-1"]),
    "mixed encodings": ("a.csv", "id,text\n1,é\n".encode() + b"2,\xe9\n", [":3:", "row 1", "0xE9", "csv.encoding"]),
    "a Latin-1 header": ("a.csv", "t\xe9xt,text\n".encode("latin-1"), [":1:", "0xE9", "csv.encoding"]),
}  # fmt: skip


@pytest.mark.parametrize("case", UNDECLARED)
def test_an_undeclared_encoding_is_refused_at_its_first_invalid_byte(put, refused, case):
    name, content, words = UNDECLARED[case]
    refused(put(name, content() if callable(content) else content), *words)
