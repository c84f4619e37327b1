"""A subset of an input: chosen at random, cut out as it stands."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.inputs.subset import cut_rows, sample_rows


@pytest.mark.parametrize(("rows", "count", "drawn"), [(100, 10, 10), (100, 100, 100), (3, 10, 3), (0, 5, 0)])
def test_a_sample_holds_different_rows_in_order_and_no_more_than_there_are(rows, count, drawn):
    found = sample_rows(rows, count, seed=1)
    assert len(set(found)) == drawn
    assert list(found) == sorted(found)
    assert set(found) <= set(range(rows))


def test_the_seed_alone_decides_which_rows_are_drawn():
    assert sample_rows(1000, 10, seed=1) == sample_rows(1000, 10, seed=1)
    assert sample_rows(1000, 10, seed=1) != sample_rows(1000, 10, seed=2)


@pytest.mark.parametrize("rows", [[], [0], [5, 6, 7, 8], [0, 6, 7, 19, 20, 29]])
def test_rows_are_cut_out_of_several_files_with_all_their_columns(put, look, tmp_path, rows):
    for file in range(3):
        numbers = list(range(10 * file, 10 * file + 10))
        put(f"d/{file}.parquet", pa.table({"n": numbers, "text": [f"row {n}" for n in numbers]}))
    source = look(tmp_path / "d")
    cut_rows(source, rows, tmp_path / "state" / "subset.parquet")
    found = pq.read_table(tmp_path / "state" / "subset.parquet")
    assert found.schema == source.schema
    assert found.to_pylist() == [{"n": n, "text": f"row {n}"} for n in rows]
    assert (tmp_path / "state" / "subset.parquet").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "kind",
    [
        pa.string_view(),
        pa.binary_view(),
        pa.list_(pa.string_view()),
        pa.uuid(),
        pa.dictionary(pa.int8(), pa.string()),
    ],
)
def test_values_of_every_type_can_be_cut_out(put, look, tmp_path, kind):
    table = pa.table({"text": ["a", "b", "c", "d"], "value": pa.nulls(4, kind)})
    cut_rows(look(put("a.parquet", table)), [0, 2, 3], tmp_path / "subset.parquet")
    assert pq.read_table(tmp_path / "subset.parquet").equals(
        pa.concat_tables([table.slice(0, 1), table.slice(2)])
    )


def test_rows_are_cut_out_of_files_of_which_some_may_have_nulls(put, look, tmp_path):
    for name, nullable in (("a", False), ("b", True)):
        schema = pa.schema([pa.field("text", pa.string(), nullable)])
        put(f"d/{name}.parquet", pa.Table.from_pydict({"text": [name]}, schema))
    cut_rows(look(tmp_path / "d"), [0, 1], tmp_path / "subset.parquet")
    assert pq.read_table(tmp_path / "subset.parquet").to_pydict() == {"text": ["a", "b"]}


def test_only_the_columns_that_are_wanted_are_cut_out(put, look, tmp_path):
    table = pa.table({"n": [1, 2], "text": ["a", "b"], "other": [3, 4]})
    cut_rows(look(put("a.parquet", table)), [1], tmp_path / "subset.parquet", ["text", "n"])
    assert pq.read_table(tmp_path / "subset.parquet").to_pydict() == {"text": ["b"], "n": [2]}
