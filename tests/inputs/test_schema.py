"""One schema of files by several writers: whatever means the same is taken, without loss, and nothing else."""

import datetime as dt
from decimal import Decimal
from functools import partial

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import InputDataError
from pipeline.inputs.read import read_batches
from tests.inputs.conftest import texts

MICROS, NANOS = pa.timestamp("us"), pa.timestamp("ns")
DICTIONARY = pa.dictionary(pa.int8(), pa.string())
NOW = dt.datetime(2026, 11, 23, 12, 30)  # noqa: DTZ001 - of no zone

ALIKE = {
    "string, large_string": (pa.array(["a"]), pa.array(["b"], pa.large_string()), pa.large_string()),
    "string, string_view": (pa.array(["a"]), pa.array(["b"], pa.string_view()), pa.large_string()),
    "null, string": (pa.nulls(1), pa.array(["b"]), pa.string()),
    "string, null": (pa.array(["a"]), pa.nulls(1), pa.string()),
    "null, dictionary": (pa.nulls(1), pa.array(["b"]).cast(DICTIONARY), DICTIONARY),
    "dictionary, string": (pa.array(["a"]).cast(DICTIONARY), pa.array(["b"]), pa.string()),
    "dictionaries": (
        pa.array(["a"]).cast(DICTIONARY),
        pa.array(["b"]).cast(pa.dictionary(pa.int32(), pa.string())),
        pa.dictionary(pa.int32(), pa.string()),
    ),
    "binary, large_binary": (pa.array([b"a"]), pa.array([b"b"], pa.large_binary()), pa.large_binary()),
    "integers": (pa.array([1], pa.int8()), pa.array([2**40]), pa.int64()),
    "signed and unsigned": (pa.array([-1], pa.int32()), pa.array([2**32 - 1], pa.uint32()), pa.int64()),
    "floats": (pa.array([0.1], pa.float32()), pa.array([0.1]), pa.float64()),
    "decimals": (
        pa.array([Decimal("1.10")], pa.decimal128(5, 2)),
        pa.array([Decimal("12345.6789")], pa.decimal128(9, 4)),
        pa.decimal128(9, 4),
    ),
    "lists": (pa.array([["a"]]), pa.array([["b"]], pa.large_list(pa.large_string())), pa.large_list(pa.large_string())),
    "an empty list": (pa.array([[]], pa.list_(pa.null())), pa.array([["b"]]), pa.list_(pa.string())),
    "structs": (
        pa.array([{"a": 1, "b": "x"}]),
        pa.array([{"b": "y", "a": 2}], pa.struct([("b", pa.large_string()), ("a", pa.int64())])),
        pa.struct([("a", pa.int64()), ("b", pa.large_string())]),
    ),
    "JSON, text": (pa.array(["1"], pa.json_()), pa.array(["2"]), pa.string()),
    "moments": (pa.array([NOW], MICROS), pa.array([NOW], NANOS), NANOS),
    "integers and floats": (pa.array([2**53]), pa.array([0.5]), pa.float64()),
}  # fmt: skip


def cells(source, column):
    batches = [batch for file in source.files for batch in read_batches(source, file)]
    assert {batch.schema.field(column).type for batch in batches} == {source.schema.field(column).type}
    return [cell for batch in batches for cell in batch.column(column).to_pylist()]


@pytest.mark.parametrize("case", ALIKE)
def test_types_that_mean_the_same_become_one_and_lose_nothing(put, look, tmp_path, case):
    first, second, common = ALIKE[case]
    put("d/a.parquet", pa.table({"text": ["a"], "more": first}))
    put("d/b.parquet", pa.table({"text": ["a"], "more": second}))
    source = look(tmp_path / "d")
    assert source.schema.field("more").type == common
    assert cells(source, "more") == [*first.cast(common).to_pylist(), *second.cast(common).to_pylist()]


FAR = dt.datetime(9999, 12, 31)  # noqa: DTZ001 - of no zone
DIFFERENT = {
    "text, number": (pa.array(["1"]), pa.array([1])),
    "text, bytes": (pa.array(["1"]), pa.array([b"1"])),
    "number, truth": (pa.array([1]), pa.array([True])),
    "with a zone and without": (pa.array([NOW], MICROS), pa.array([NOW], pa.timestamp("us", "UTC"))),
    "two zones": (pa.array([NOW], pa.timestamp("us", "UTC")), pa.array([NOW], pa.timestamp("us", "Asia/Tokyo"))),
    "date, moment": (pa.array([NOW.date()]), pa.array([NOW], MICROS)),
    "list, text": (pa.array([["a"]]), pa.array(["a"])),
    "structs of other members": (pa.array([{"a": 1}]), pa.array([{"a": 1, "b": 2}])),
    "integers that no type holds": (pa.array([-1]), pa.array([2**64 - 1], pa.uint64())),
    "a moment too far for nanoseconds": (pa.array([NOW], NANOS), pa.array([FAR], MICROS)),
    "nanoseconds that come later": (pa.array([FAR], MICROS), pa.array([NOW], NANOS)),
    "a number too large for a float": (pa.array([0.5]), pa.array([2**53 + 1])),
    "a list of such": (pa.array([[0.5]]), pa.array([[2**53 + 1]])),
}  # fmt: skip


@pytest.mark.parametrize("case", DIFFERENT)
def test_what_means_another_thing_or_would_lose_something_is_refused(put, look, tmp_path, case):
    first, second = DIFFERENT[case]
    put("d/a.parquet", pa.table({"text": ["a"], "more": first}))
    put("d/b.parquet", pa.table({"text": ["a"], "more": second}))
    with pytest.raises(InputDataError) as caught:
        look(tmp_path / "d")
    (problem,) = caught.value.problems
    assert "column 'more' is" in problem
    kinds = {str(each.type).replace("item", "element") for each in (first, second)}  # Parquet's word
    assert {kind for kind in kinds if kind in problem} == kinds


def test_what_the_footer_does_not_tell_is_refused(put, look, tmp_path):
    put("d/a.parquet", pa.table({"text": ["a"], "more": pa.array([NOW], NANOS)}))
    table = pa.table({"text": ["a"], "more": pa.array([NOW], MICROS)})
    pq.write_table(table, tmp_path / "d" / "b.parquet", write_statistics=False)
    with pytest.raises(
        InputDataError, match=r"b.parquet: column 'more' is timestamp\[us\], in a.parquet it is"
    ):
        look(tmp_path / "d")


def test_nulls_alone_fit_every_type(put, look, tmp_path):
    put("d/a.parquet", pa.table({"text": ["a"], "more": pa.array([NOW], NANOS)}))
    put("d/b.parquet", pa.table({"text": ["a"], "more": pa.nulls(1, MICROS)}))
    assert cells(look(tmp_path / "d"), "more")[1] is None


def test_the_order_of_the_columns_is_that_of_the_first_file(put, look, tmp_path):
    put("d/a.parquet", pa.table({"id": [1], "text": ["a"]}))
    put("d/b.parquet", pa.table({"text": ["b"], "id": [2]}))
    source = look(tmp_path / "d")
    tables = [pa.Table.from_batches(read_batches(source, file)) for file in source.files]
    assert [table.to_pydict() for table in tables] == [{"id": [1], "text": ["a"]}, {"id": [2], "text": ["b"]}]
    assert tables[1].column_names == ["id", "text"]


def test_the_order_of_columns_of_one_name_tells_them_apart(put, look, tmp_path):
    def table(*names):
        return pa.Table.from_arrays([pa.array(["x"])] * 3, names=names)

    put("d/a.parquet", table("text", "x", "x"))
    put("d/b.parquet", table("text", "x", "x"))
    assert look(tmp_path / "d").rows == 2
    put("d/c.parquet", table("x", "text", "x"))
    with pytest.raises(InputDataError, match=r"c.parquet: column 'x' is in another place than in a.parquet"):
        look(tmp_path / "d")


def test_a_file_is_compared_with_the_first_that_tells_a_type(put, look, tmp_path):
    for name, column in (
        ("a", pa.nulls(1)),
        ("b", pa.array(["x"])),
        ("c", pa.array([1])),
        ("d", pa.array([1])),
    ):
        put(f"d/{name}.parquet", pa.table({"text": ["a"], "more": column}))
    with pytest.raises(InputDataError) as caught:
        look(tmp_path / "d")
    assert [problem.rpartition("/")[2] for problem in caught.value.problems] == [
        f"{name}.parquet: column 'more' is int64, in b.parquet it is string; give files of one schema"
        for name in "cd"
    ]


def test_the_text_of_a_cell_does_not_depend_on_the_files_beside_it(put, look, tmp_path):
    put("d/a.parquet", pa.table({"text": pa.array([0.1], pa.float32())}))
    alone = texts(look(tmp_path / "d"), ["text"])["text"]
    put("d/b.parquet", pa.table({"text": [0.25]}))
    assert texts(look(tmp_path / "d"), ["text"])["text"] == [*alone, "0.25"]


def test_a_nightly_folder_outlives_the_change_of_its_writer(look, tmp_path):
    (tmp_path / "d").mkdir()
    frame = pl.DataFrame({"text": ["a"], "at": [NOW], "kind": pl.Series(["x"], dtype=pl.Categorical)})
    frame.write_parquet(tmp_path / "d" / "a.parquet")
    table = pa.table({"text": ["b"], "at": pa.array([NOW], NANOS), "kind": ["y"]})
    for name, write in (("b", pq.write_table), ("c", partial(pq.write_table, store_schema=False))):
        write(table, tmp_path / "d" / f"{name}.parquet")
    source = look(tmp_path / "d")
    assert cells(source, "kind") == ["x", "y", "y"]
    assert {str(each) for each in cells(source, "at")} <= {str(NOW), f"{NOW:%Y-%m-%d %H:%M:%S}"}
