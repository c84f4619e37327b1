"""CSV tables: every cell is read as it is written, from the block that holds it."""

import pytest

from pipeline.inputs.read import read_batches, read_chunks
from pipeline.inputs.source import all_spans
from pipeline.records import Span


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("last", ["", "end"])
def test_every_line_ending_and_a_missing_last_one_are_read(put, read, ending, last):
    lines = ["id,text", "1,a", '2,"b"', "3,"]
    text = ending.join(lines) + (ending if last else "")
    assert read(put("a.csv", text)) == {"text": ["a", "b", None]}


ROWS = ["007,1.10", "true,NA", '"",""', ",", "null, x ", "2026-01-01,1e5", '"a ""b""",5" disk']


def test_cells_are_text_exactly_as_they_are_written(put, look):
    source = look(put("a.csv", "id,text\n" + "\n".join(ROWS)))
    (batch,) = read_batches(source, source.files[0])
    assert batch.to_pydict() == {
        "id": ["007", "true", "", None, "null", "2026-01-01", 'a "b"'],
        "text": ["1.10", "NA", "", None, " x ", "1e5", '5" disk'],
    }


def test_a_word_for_a_missing_text_is_no_text_and_stays_in_the_table(put, look, read):
    words = ["NULL", "\\N", '"NaN"', "N/A", "null", "None", "nullify", "NA"]
    path = put("a.csv", "text\n" + "\n".join(words))
    assert read(path) == {"text": [None] * 6 + ["nullify", "NA"]}
    assert read(path, nulls=["NA"])["text"][4:] == ["null", "None", "nullify", None]
    source = look(path)
    (batch,) = read_batches(source, source.files[0])
    assert batch.to_pydict()["text"] == [word.strip('"') for word in words]
    assert look(path, nulls=[]).fingerprint != source.fingerprint
    assert look(path, nulls=[]).files[0].path == source.files[0].path  # one copy serves both


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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "csv"), [("a.csv", {}), ("a.csv.gz", {}), ("a.csv", {"encoding": "cp1252"})]
)
def test_a_late_span_is_found_without_parsing_what_comes_before(put, look, name, csv):
    pad = "-" * 80
    text = "id,text\n" + "".join(f"{n},é{n:09}{pad}\n" for n in range(400_000))
    source = look(put(name, text.encode(csv.get("encoding", "utf-8"))), **csv)
    assert len(source.files[0].blocks) > 2
    assert [block.stop for block in source.files[0].blocks[:-1]] == [
        b.first for b in source.files[0].blocks[1:]
    ]
    chunks = list(read_chunks(source, ["text"], [Span(7, 9), Span(399_998, 400_000)]))
    assert [chunk.columns["text"] for chunk in chunks] == [
        [f"é000000007{pad}", f"é000000008{pad}"],
        [f"é000399998{pad}", f"é000399999{pad}"],
    ]
    assert all_spans(source)[0].rows == 400_000
