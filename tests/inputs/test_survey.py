"""The survey: what identifies the input, and every problem of its files and columns at once."""

import os

import pyarrow as pa
import pytest

from pipeline.errors import ConfigError, InputDataError, PipelineError
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
    put("d/b.csv", b"\xff")
    put("d/c.csv", 'id,text\n1,"\n')
    put("d/d.csv", "id,text,more\n")
    with pytest.raises(PipelineError) as caught:
        look(tmp_path / "d", "text", "absent")
    problems = "\n".join(caught.value.problems)
    assert len(caught.value.problems) == 4
    for word in ("b.csv", "c.csv:2", "d.csv: has a column 'more'", "no column 'absent'"):
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
    "the used column twice": ("a.csv", "text,text\n1,2\n", ["2 columns named 'text'"]),
    "a nested column": ("a.parquet", pa.table({"text": [["a"]]}), ["'text' is list<", "no text"]),
    "a struct": ("a.parquet", pa.table({"text": [{"a": 1}]}), ["struct<", "no text"]),
    "a binary column": ("a.parquet", pa.table({"text": [b"a"]}), ["is binary", "no text"]),
    "a dictionary of bytes": ("a.parquet", pa.table({"text": pa.array([b"a"]).dictionary_encode()}), ["no text"]),
}  # fmt: skip


@pytest.mark.parametrize("case", WITHOUT_TEXT)
def test_a_used_column_without_one_text_a_row_is_refused(put, refused, case):
    name, content, words = WITHOUT_TEXT[case]
    refused(put(name, content() if callable(content) else content), *words)
