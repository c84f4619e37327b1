"""Wide row groups are read some columns at a time: the same rows, and memory that does not grow with the columns."""

import os
import sys
from collections.abc import Callable, Iterator
from itertools import accumulate, pairwise

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.inputs.columnar.strips import STRIP_BYTES, gathered, side_by_side, strips_of
from pipeline.inputs.read import read_batches
from tests.inputs.allocated import allocated


@given(sizes=st.lists(st.integers(0, 1 << 40), min_size=1, max_size=60))
def test_every_column_is_in_one_strip_in_order_and_a_strip_holds_no_more_than_it_may(sizes):
    names = [str(number) for number in range(len(sizes))]
    strips = strips_of(names, dict(zip(names, sizes, strict=True)))
    assert [name for strip in strips for name in strip] == names
    assert all(sum(min(2 << 20, sizes[int(name)]) for name in strip) <= STRIP_BYTES for strip in strips)


def cut(table: pa.Table, ends: list[int]) -> Iterator[pa.RecordBatch]:
    edges = sorted({0, table.num_rows, *(end for end in ends if end < table.num_rows)})
    for start, stop in pairwise(edges):
        yield from table.slice(start, stop - start).combine_chunks().to_batches()


@given(st.lists(st.lists(st.integers(1, 30), max_size=4), min_size=1, max_size=4))
def test_rows_meet_however_the_strips_are_cut(cuts):
    strips = [pa.table({f"{number}": range(30), f"{number} again": range(30)}) for number in range(len(cuts))]
    batches = list(side_by_side(cut(table, ends) for table, ends in zip(strips, cuts, strict=True)))
    assert pa.Table.from_batches(batches) == pa.table(
        {name: range(30) for table in strips for name in table.column_names}
    )


@pytest.fixture
def wide(put) -> Callable[[int], object]:
    """Write so many columns of 2 MiB each, whose dictionaries and pages are as large as those of most writers."""

    def write(columns: int) -> object:
        numbers = [pa.array(memoryview(os.urandom(8 << 18)).cast("q")) for _ in range(columns)]
        texts = pa.array(["a", "b", None, "c"] * (1 << 16))
        return put(
            "a.parquet", pa.table({"text": texts, **{f"c{n}": column for n, column in enumerate(numbers)}})
        )

    return write


@pytest.mark.slow
def test_a_wide_row_group_is_read_as_it_is_in_memory_for_a_few_columns(wide, look):
    path = wide(40)
    expected = pq.read_table(path)
    with allocated() as peak:
        source = look(path)
        batches = read_batches(source, source.files[0])
        assert all(
            batch.equals(expected.slice(row, batch.num_rows).combine_chunks().to_batches()[0])
            for row, batch in numbered(batches)
        )
    assert peak[0] < 24 << 20  # measured: 9 MiB; 45 MiB with all columns at once


def numbered(batches: Iterator[pa.RecordBatch]) -> Iterator[tuple[int, pa.RecordBatch]]:
    row = 0
    for batch in batches:
        yield row, batch
        row += batch.num_rows
    assert row == 1 << 18


@pytest.mark.slow
def test_the_work_grows_with_the_number_of_columns_and_not_with_its_square(put, look):
    def calls(columns: int) -> int:
        table = pa.table({"text": ["a"], **{f"c{number}": [number] for number in range(columns)}})
        path, count = put(f"{columns}.parquet", table), 0

        def counted(_frame: object, _event: str, _argument: object) -> None:
            nonlocal count
            count += 1

        sys.setprofile(counted)
        try:
            source = look(path)
            assert next(read_batches(source, source.files[0], source.schema.names)).num_columns == columns + 1
        finally:
            sys.setprofile(None)
        return count

    assert calls(2_000) < 2.5 * calls(1_000)


@given(st.lists(st.integers(1, 9), max_size=12), st.integers(1, 30), st.integers(1, 200))
def test_small_batches_are_put_together_as_far_as_they_may(sizes, most_rows, most_bytes):
    rows = pa.RecordBatch.from_pydict({"n": range(sum(sizes))})
    firsts = accumulate(sizes, initial=0)
    batches = [rows.slice(first, size) for first, size in zip(firsts, sizes, strict=False)]
    found = list(gathered(batches, most_rows, most_bytes))
    assert [n for batch in found for n in batch.column(0).to_pylist()] == list(range(sum(sizes)))
    for batch in found:
        assert batch.num_rows in sizes or (batch.num_rows <= most_rows and batch.nbytes <= most_bytes)
    ends, seen = list(accumulate(sizes)), 0
    for one in found[:-1]:
        seen += one.num_rows
        following = batches[ends.index(seen) + 1]
        is_full = one.num_rows + following.num_rows > most_rows
        assert is_full or one.nbytes + following.nbytes > most_bytes
