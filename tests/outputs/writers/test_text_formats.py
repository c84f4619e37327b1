"""CSV and JSON Lines: what stands in the file, as other programs read it."""

import csv
import datetime as dt
import decimal
import gzip
import io
import json
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.outputs.writers.csv import GUARDED
from pipeline.outputs.writers.formats import ensure_place, open_writer

UTC_MOMENT = dt.datetime(2020, 1, 2, 3, 4, 5, 678, dt.UTC)

# name: (values, in CSV, in JSON)
VALUES = {
    "text": (pa.array(['say "a, b"\nü', "", None]), ['say "a, b"\nü', "", ""], ['say "a, b"\nü', "", None]),
    "view": (pa.array(["x", None, " y "], pa.string_view()), ["x", "", " y "], ["x", None, " y "]),
    "dictionary": (pa.array(["x", "y", None]).dictionary_encode(), ["x", "y", ""], ["x", "y", None]),
    "no_utf8": (
        pa.array([b"a\xff", None, b""]).view(pa.string()),
        ["a\ufffd", "", ""],
        ["a\ufffd", None, ""],
    ),
    "int": (pa.array([1, -2, None]), ["1", "-2", ""], [1, -2, None]),
    "large": (
        pa.array([2**64 - 1, 0, None], pa.uint64()),
        ["18446744073709551615", "0", ""],
        [2**64 - 1, 0, None],
    ),
    "float": (pa.array([0.1, -1e300, None]), ["0.1", "-1e+300", ""], [0.1, -1e300, None]),
    "no_number": (pa.array([float("nan"), float("inf"), None]), ["NaN", "inf", ""], [None, None, None]),
    "decimal": (pa.array([decimal.Decimal("-1.10"), None, None]), ["-1.10", "", ""], ["-1.10", None, None]),
    "wide": (
        pa.array([decimal.Decimal("1.50"), None, None], pa.decimal256(50, 2)),
        ["1.50", "", ""],
        ["1.50", None, None],
    ),
    "bool": (pa.array([True, False, None]), ["true", "false", ""], [True, False, None]),
    "date": (pa.array([dt.date(2020, 1, 2), None, None]), ["2020-01-02", "", ""], ["2020-01-02", None, None]),
    "time": (
        pa.array([UTC_MOMENT, None, None], pa.timestamp("us")),
        ["2020-01-02 03:04:05.000678", "", ""],
        ["2020-01-02 03:04:05.000678", None, None],
    ),
    "zone": (
        pa.array([UTC_MOMENT, None, None], pa.timestamp("s", "UTC")),
        ["2020-01-02 03:04:05Z", "", ""],
        ["2020-01-02 03:04:05Z", None, None],
    ),
    "unknown_zone": (
        pa.array([0, None, None], pa.timestamp("s", "Foo/Bar")),
        ["1970-01-01 00:00:00Z", "", ""],
        ["1970-01-01 00:00:00Z", None, None],
    ),
    "bytes": (pa.array([b"\xff\x00", None, b""]), ["/wA=", "", ""], ["/wA=", None, ""]),
    "uuid": (
        pa.array([bytes(range(16)), None, None], pa.uuid()),
        ["00010203-0405-0607-0809-0a0b0c0d0e0f", "", ""],
        ["00010203-0405-0607-0809-0a0b0c0d0e0f", None, None],
    ),
    "null": (pa.nulls(3), ["", "", ""], [None, None, None]),
    "list": (
        pa.array([['a"\n', None], [], None]),
        ['["a\\"\\n",null]', "[]", ""],
        [['a"\n', None], [], None],
    ),
    "struct": (
        pa.array([{"a": 1, "b": [1.5]}, None, {"a": None, "b": None}]),
        ['{"a":1,"b":[1.5]}', "", '{"a":null,"b":null}'],
        [{"a": 1, "b": [1.5]}, None, {"a": None, "b": None}],
    ),
    "map": (
        pa.array([[("k", 1)], None, []], pa.map_(pa.string(), pa.int64())),
        ['{"k":1}', "", "{}"],
        [{"k": 1}, None, {}],
    ),
}
TABLE = pa.table({name: values for name, (values, _, _) in VALUES.items()})


def written(path: Path, form: str, *tables: pa.Table) -> str:
    with open_writer(form, path, tables[0].schema) as writer:
        for table in tables:
            writer.write(table)
    content = path.read_bytes()
    return (gzip.decompress(content) if form.endswith(".gz") else content).decode()


def read_csv(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline=""), strict=True))


@pytest.mark.parametrize("form", ["csv", "csv.gz"])
@pytest.mark.parametrize("name", VALUES)
def test_a_csv_cell_has_the_text_of_its_value(tmp_path: Path, form: str, name: str) -> None:
    table = TABLE.select([name]).append_column("after", pa.array([1, 2, 3]))
    rows = read_csv(written(tmp_path / "a", form, table))
    assert [row[0] for row in rows] == [name, *VALUES[name][1]]


@pytest.mark.parametrize("form", ["jsonl", "jsonl.gz"])
@pytest.mark.parametrize("name", VALUES)
def test_json_has_a_value_as_json_has_it(tmp_path: Path, form: str, name: str) -> None:
    text = written(tmp_path / "a", form, TABLE.select([name]))
    assert [json.loads(line) for line in text.splitlines()] == [{name: each} for each in VALUES[name][2]]


def test_in_csv_null_is_nothing_and_an_empty_text_is_quoted(tmp_path: Path) -> None:
    table = pa.table({"a": ["", None], "b": ["x", "y"]})
    assert written(tmp_path / "a", "csv", table) == 'a,b\n"",x\n,y\n'


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_tables_follow_each_other_and_a_file_without_rows_is_whole(tmp_path: Path, form: str) -> None:
    whole = written(tmp_path / "a", form, TABLE)
    assert written(tmp_path / "b", form, TABLE.slice(0, 1), TABLE.slice(1, 0), TABLE.slice(1)) == whole
    empty = written(tmp_path / "c", form, TABLE.slice(0, 0))
    assert empty == (whole.splitlines(keepends=True)[0] if form == "csv" else "")


def test_a_packed_file_does_not_depend_on_the_time(tmp_path: Path) -> None:
    contents = set()
    for name in ("a.csv.gz", "b.csv.gz"):
        written(tmp_path / name, "csv.gz", TABLE)
        contents.add((tmp_path / name).read_bytes())
    assert len(contents) == 1


@given(
    rows=st.lists(st.tuples(st.none() | st.text(), st.lists(st.none() | st.text(), max_size=3)), max_size=8)
)
@settings(max_examples=100)
def test_what_is_written_is_read_back(tmp_path_factory: pytest.TempPathFactory, rows: list) -> None:
    table = pa.table(
        {
            "text": pa.array([text for text, _ in rows], pa.string()),
            "labels": pa.array([labels for _, labels in rows], pa.list_(pa.string())),
        }
    )
    folder = tmp_path_factory.mktemp("written")
    lines = written(folder / "a", "jsonl", table).split("\n")[:-1]
    assert [json.loads(line) for line in lines] == table.to_pylist()
    cells = read_csv(written(folder / "b", "csv", table))[1:]
    assert [json.loads(labels) for _, labels in cells] == [labels for _, labels in rows]
    for (text, _), (cell, _) in zip(rows, cells, strict=True):
        assert cell in {text or "", f"'{text}"}
    frame = pl.read_csv(folder / "b", schema_overrides={"text": pl.String}, infer_schema_length=0)
    assert len(frame) == len(rows)


@pytest.mark.parametrize(
    "text", ["=1+1", "+49 30 12", "-", "@SUM(A1)", "\tx", "\rx", "-1+2", "--1", "=", "-1e"]
)
def test_a_text_that_a_spreadsheet_would_run_gets_an_apostrophe(tmp_path: Path, text: str) -> None:
    path, table = tmp_path / "a", pa.table({"a": [text, "x", None], "b": [1, 2, 3]})
    with open_writer("csv", path, table.schema) as writer:
        writer.write(table)
    assert [row[0] for row in read_csv(path.read_bytes().decode())] == ["a", f"'{text}", "x", ""]
    assert list(writer.remarks) == [GUARDED]


@pytest.mark.parametrize("text", ["-5", "+1.5", "-1,5", "-.5", "-1e-7", "a=1", " =1", "'=1", "-5.", ""])
def test_a_text_that_is_a_number_or_begins_with_anything_else_stays_as_it_is(
    tmp_path: Path, text: str
) -> None:
    path, table = tmp_path / "a", pa.table({"a": [text], "b": [-1], "c": [[-1]]})
    with open_writer("csv", path, table.schema) as writer:
        writer.write(table)
    assert read_csv(path.read_bytes().decode())[1] == [text, "-1", "[-1]"]
    assert not writer.remarks


def test_a_name_of_a_column_is_guarded_like_a_cell(tmp_path: Path) -> None:
    table = pa.table({"=cmd()": ["x"], "b,c": ["y"]})
    assert written(tmp_path / "a", "csv", table) == '\'=cmd(),"b,c"\nx,y\n'
    assert json.loads(written(tmp_path / "b", "jsonl", table)) == {"=cmd()": "x", "b,c": "y"}


@pytest.mark.parametrize("form", ["csv", "csv.gz", "jsonl", "jsonl.gz", "parquet"])
def test_a_format_has_a_place_for_whatever_it_writes(form: str) -> None:
    ensure_place(form, TABLE.schema)


@pytest.mark.parametrize("form", ["csv", "jsonl"])
@pytest.mark.parametrize(
    "kind",
    [
        pa.month_day_nano_interval(),
        pa.list_(pa.binary()),
        pa.struct([("x", pa.struct([("y", pa.decimal256(50, 2))]))]),
        pa.list_(pa.uuid()),
        pa.list_view(pa.int64()),
        pa.dense_union([pa.field("a", pa.int64())]),
    ],
    ids=str,
)
def test_a_type_without_a_text_is_known_before_the_first_row(form: str, kind: pa.DataType) -> None:
    with pytest.raises(ValueError, match="there is no"):
        ensure_place(form, pa.schema([("a", kind)]))
