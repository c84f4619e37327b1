"""CSV: every dialect that is allowed, every record where it belongs, nothing guessed."""

import csv
import io

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pipeline.config import CsvSettings
from pipeline.errors import InputDataError
from pipeline.inputs.delimited import scan
from pipeline.inputs.delimited.table import inspect, open_table
from pipeline.inputs.read import read_chunks
from pipeline.inputs.source import whole
from pipeline.records import Span

PIECES = st.sampled_from(["a", "b", '"', '""', ",", ",", "\n", "\r\n", "\r", "é", "\ufeff", " "])
BODIES = st.lists(PIECES, max_size=30).map("".join)


def strictly(text, width):
    """The records as the standard library's strict reader sees them, or None where it refuses."""
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
    """The records as we read them in blocks of some bytes, or None where we refuse."""
    try:
        contents = inspect(path, CsvSettings(), block_bytes=block_bytes)
    except InputDataError:
        return None
    rows = []
    with open_table(path, CsvSettings(), contents.schema.names) as table:
        for block in contents.blocks:
            batches = list(table.batches(block, None, max_rows=5, max_bytes=1))
            assert sum(batch.num_rows for batch in batches) == block.rows
            rows += [[cell or "" for cell in row.values()] for batch in batches for row in batch.to_pylist()]
    return rows


@settings(deadline=None, max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=BODIES, width=st.integers(1, 3), block_bytes=st.integers(1, 12))
@example(body='a\r\r\n"b\n', width=1, block_bytes=2)
@example(body="\ufeffa,b\n", width=2, block_bytes=1)
def test_we_read_or_refuse_what_the_strict_reader_of_python_does(put, body, width, block_bytes):
    text = ",".join("abc"[:width]) + "\n" + body
    assert by_blocks(put("a.csv", text), block_bytes) == strictly(text, width)


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("last", ["", "end"])
def test_every_line_ending_and_a_missing_last_one_are_read(put, read, ending, last):
    lines = ["id,text", "1,a", '2,"b"', "3,"]
    text = ending.join(lines) + (ending if last else "")
    assert read(put("a.csv", text)) == {"text": ["a", "b", None]}


def test_cells_are_text_exactly_as_they_are_written(put, read):
    rows = ["007,1.10", "true,NA", '"",""', ",", "null, x ", "2026-01-01,1e5", '"a ""b""",5" disk']
    assert read(put("a.csv", "id,text\n" + "\n".join(rows)), "id", "text") == {
        "id": ["007", "true", "", None, "null", "2026-01-01", 'a "b"'],
        "text": ["1.10", "NA", "", None, " x ", "1e5", '5" disk'],
    }


def test_a_late_flip_of_the_type_is_text_too(put, read):
    assert read(put("a.csv", "text\n" + "1\n" * 300_000 + "one\n"))["text"][-2:] == ["1", "one"]


@pytest.mark.parametrize(
    ("name", "content", "csv"),
    [
        ("a.csv", "\ufeffid,text\n1,é\n", {}),
        ("a.csv", "id;text\n1;é\n", {"delimiter": ";"}),
        ("a.tsv", "id\ttext\n1\té\n", {}),
        ("a.tsv.gz", "id\ttext\n1\té\n", {}),
        ("a.CSV", "\n\nid,text\n\n1,é\n\n\n", {}),
        ("a.csv", "id,text\n1,'é'\n", {"quote": "'"}),
        ("a.csv", "id^text\n1^]é]\n", {"delimiter": "^", "quote": "]"}),
        ("a.csv", "id,text\n1,é\n".encode("latin-1"), {"encoding": "latin-1"}),
        ("a.csv", "id,text\n1,é\n".encode("utf-16"), {"encoding": "utf-16"}),
        ("a.csv.gz", "\ufeffid,text\r\n1,é\r\n".encode("utf-16-le"), {"encoding": "utf-16-le"}),
        ("a.csv", "\ufeffid,text\n1,é\n", {"encoding": "utf-8-sig"}),
    ],
)
def test_marks_delimiters_quotes_and_encodings_are_read_as_set(put, read, name, content, csv):
    assert read(put(name, content), "id", "text", **csv) == {"id": ["1"], "text": ["é"]}


def test_names_that_come_twice_are_fine_where_they_are_not_used(put, read):
    assert read(put("a.csv", "x,x,,text\n1,2,3,4\n")) == {"text": ["4"]}


def test_a_quoted_header_may_hold_delimiters_and_lines(put, read):
    assert read(put("a.csv", '"a,b","te\nxt"\r\n1,2\r\n'), "a,b", "te\nxt") == {"a,b": ["1"], "te\nxt": ["2"]}


def test_one_column_whose_name_has_a_delimiter_is_fine_when_it_is_the_used_one(put, read):
    assert read(put("a.csv", "a;b\nx\n"), "a;b") == {"a;b": ["x"]}


def test_a_record_that_never_ends_is_refused_before_it_fills_the_memory(put, monkeypatch, look):
    monkeypatch.setattr(scan, "_RECORD_BYTES", 5 << 20)
    with pytest.raises(
        InputDataError, match=r"a.csv:3: the record is longer than 5 MiB; is a quote left open"
    ):
        look(put("a.csv", 'id,text\n1,a\n2,"' + "x\n" * (10 << 20)))
    with pytest.raises(InputDataError, match=r"a.csv:2: the record has 3 cells"):
        look(put("a.csv", "id,text\n1,2,3\n" + "1,2\n" * (2 << 20)))


@pytest.mark.parametrize(
    ("name", "csv"), [("a.csv", {}), ("a.csv.gz", {}), ("a.csv", {"encoding": "cp1252"})]
)
def test_a_late_span_is_found_without_parsing_what_comes_before(put, look, name, csv):
    text = "id,text\n" + "".join(f"{n},é{n:09}\n" for n in range(400_000))
    source = look(put(name, text.encode(csv.get("encoding", "utf-8"))), **csv)
    assert len(source.files[0].blocks) > 2
    assert [block.stop for block in source.files[0].blocks[:-1]] == [
        b.first for b in source.files[0].blocks[1:]
    ]
    chunks = list(read_chunks(source, ["text"], [Span(0, 7, 9, 7), Span(0, 399_998, 400_000, 399_998)]))
    assert [chunk.columns["text"] for chunk in chunks] == [
        ["é000000007", "é000000008"],
        ["é000399998", "é000399999"],
    ]
    assert whole(source)[0].rows == 400_000


def test_the_line_of_a_fault_is_right_behind_cells_of_many_lines(put, look):
    text = "id,text\n" + '1,"a\nb\nc"\n' * 100_000 + "2,x,y\n"
    with pytest.raises(InputDataError, match=r"a.csv:300002: the record has 3 cells"):
        look(put("a.csv", text))


def test_a_bad_byte_far_into_a_file_is_found_by_row_and_line(put, look):
    text = b"id,text\n" + b'1,"a\nb"\n' * 300_000 + b"2,\xff\n"
    with pytest.raises(InputDataError, match=r"a.csv:600002: row 300000: byte 0xFF at 2400010 is no UTF-8"):
        look(put("a.csv", text))
