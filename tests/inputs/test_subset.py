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
