"""The survey: what identifies the input, and every problem of its files and columns at once."""

import os

import pyarrow as pa
import pytest

from pipeline.errors import ConfigError, InputDataError, PipelineError
from pipeline.inputs.read import read_batches
from tests.inputs.samples import GOOD_CSV


def test_the_fingerprint_follows_the_bytes_and_not_the_name(put, look, tmp_path):
    path = put("a.csv", GOOD_CSV)
    first = look(path)
    path.rename(tmp_path / "b.csv")
    assert look(tmp_path / "b.csv").fingerprint == first.fingerprint
    (tmp_path / "b.csv").write_text(GOOD_CSV + "3,c\n")
    assert look(tmp_path / "b.csv").fingerprint != first.fingerprint


def test_the_fingerprint_follows_how_a_csv_is_read(put, look):
    path = put("a.csv", "text\n1\n")
    assert look(path, delimiter=";").fingerprint != look(path).fingerprint


def test_a_new_footer_is_a_new_fingerprint_at_the_same_size_and_time(put, look):
    path = put("a.parquet", pa.table({"text": ["a"]}))
    first, times = look(path), path.stat()
    path.write_bytes(put("b.parquet", pa.table({"text": ["b"]})).read_bytes())
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert path.stat().st_size == times.st_size
    assert look(path).fingerprint != first.fingerprint


def test_a_missing_column_is_named_with_the_ones_there_are(put, look):
    with pytest.raises(ConfigError, match=r"no column 'absent'; its columns are 'id', 'text'"):
        look(put("a.csv", GOOD_CSV), "absent")


@pytest.mark.parametrize("name", ["Text", " text", "text:>9", "text!r", "texte"])
def test_the_column_that_was_probably_meant_is_named(put, look, name):
    with pytest.raises(ConfigError, match=r"; did you mean 'text'\? Its columns are 'id', 'text'"):
        look(put("a.csv", GOOD_CSV), name)


def test_problems_of_all_files_and_columns_come_at_once(put, look, tmp_path):
    put("d/a.csv", GOOD_CSV)
    put("d/b.csv", GOOD_CSV.encode("utf-16"))
    put("d/c.csv", 'id,text\n1,"\n')
    put("d/d.csv", "id,text,more\n")
    with pytest.raises(PipelineError) as caught:
        look(tmp_path / "d", "text", "absent")
    problems = "\n".join(caught.value.problems)
    assert len(caught.value.problems) == 4
    for word in ("b.csv: looks like UTF-16", "c.csv:2", "d.csv: has a column 'more'", "no column 'absent'"):
        assert word in problems


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (pa.table({"id": [1]}), "b.parquet: has no column 'text', a.parquet has one"),
        (pa.table({"id": [1], "text": ["a"], "x": [1]}), "b.parquet: has a column 'x'"),
        (
            pa.table({"id": ["1"], "text": ["a"]}),
            "b.parquet: column 'id' is string, in a.parquet it is int64",
        ),
    ],
)
def test_files_of_differing_schemas_are_refused_by_file_and_column(put, look, tmp_path, other, words):
    put("d/a.parquet", pa.table({"id": [1], "text": ["a"]}))
    put("d/b.parquet", other)
    with pytest.raises(InputDataError) as caught:
        look(tmp_path / "d")
    assert words in str(caught.value)


def test_an_unknown_time_zone_is_refused_before_anything_is_sent(put, look):
    column = pa.array([0], pa.timestamp("us", "Mars/Olympus"))
    with pytest.raises(InputDataError, match=r"'text' is timestamp.*Mars/Olympus.*no text"):
        look(put("a.parquet", pa.table({"text": column})))


WITHOUT_TEXT = {
    "the used column twice": ("a.csv", "text,text\n1,2\n", ["2 columns named 'text' (1 and 2)"]),
    "a nested column": ("a.parquet", pa.table({"text": [["a"]]}), ["'text' is list<", "no text"]),
    "a struct": ("a.parquet", pa.table({"text": [{"a": 1}]}), ["struct<", "no text"]),
    "a binary column": ("a.parquet", pa.table({"text": [b"a"]}), ["is binary", "no text"]),
    "a dictionary of bytes": ("a.parquet", pa.table({"text": pa.array([b"a"]).dictionary_encode()}), ["no text"]),
}  # fmt: skip


@pytest.mark.parametrize("case", WITHOUT_TEXT)
def test_a_used_column_without_one_text_a_row_is_refused(put, refused, case):
    name, content, words = WITHOUT_TEXT[case]
    refused(put(name, content() if callable(content) else content), *words)


def test_an_empty_part_of_a_folder_has_no_rows(put, look, tmp_path, caplog):
    for name, content in (("a", b""), ("b", GOOD_CSV), ("c", b"")):
        put(f"d/{name}.csv", content)
    source = look(tmp_path / "d")
    assert [(file.name, file.rows) for file in source.files] == [("a.csv", 0), ("b.csv", 2), ("c.csv", 0)]
    assert list(read_batches(source, source.files[0])) == []
    assert [record.args[0].name for record in caplog.records] == ["a.csv", "c.csv"]


def test_a_folder_of_nothing_but_empty_files_is_refused(put, look, tmp_path):
    put("d/a.csv", b"")
    put("d/b.csv", b"")
    with pytest.raises(InputDataError, match=r"a.csv: is empty \(0 bytes\)") as caught:
        look(tmp_path / "d")
    assert len(caught.value.problems) == 2


@pytest.mark.parametrize(
    ("header", "suspect"),
    [
        ("id,text", None),
        ("2019,2020,text", None),
        ('"3",text', "3"),
        ("1.5,text", "1.5"),
        ("text," + "long words " * 30, "long words long words long words"),
    ],
)
def test_a_first_line_that_looks_like_data_is_warned_of(put, look, caplog, header, suspect):
    path = put("a.csv", header + "\n" + header + "\n")
    look(path)
    told = [record.args[1] for record in caplog.records]
    assert told == [] if suspect is None else told[0].startswith(suspect)
    caplog.clear()
    look(path, "column_1", header=False)
    assert caplog.records == []
