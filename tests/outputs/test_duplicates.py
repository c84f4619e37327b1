"""Duplicates are distinguished from first rows, in memory as well as through buckets on disk."""

from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.outputs.duplicates import ENTRY, MOST_HELD, Duplicates
from pipeline.records import KEY_BYTES
from tests.answers import key

CHUNK = 4096


def judged(folder: Path, chunks: list[list[int | None]], rows_per_bucket: int) -> list[bool]:
    """Return which rows of *chunks* are duplicates, requested in portions that do not match the chunks."""
    rows = sum(map(len, chunks))
    with Duplicates(folder, rows, rows_per_bucket, most_held=rows_per_bucket) as duplicates:
        first_row = 0
        for chunk in chunks:
            keys = [None if number is None else key(number) for number in chunk]
            duplicates.add(first_row, pa.array(keys, pa.binary(KEY_BYTES)))
            first_row += len(chunk)
        duplicates.finish()
        portions = [duplicates.among(start, min(7, rows - start)) for start in range(0, rows, 7)]
    return [flag for portion in portions for flag in portion.to_pylist()]


def keys_in_files(folder: Path) -> int:
    """Count the keys in the bucket files."""
    return sum(path.stat().st_size // ENTRY.itemsize for path in folder.glob(".keys-*"))


@given(
    chunks=st.lists(st.lists(st.none() | st.integers(0, 30), max_size=20), max_size=6),
    rows_per_bucket=st.sampled_from([3, 10, 1000]),
)
@settings(max_examples=60)
def test_a_row_is_a_duplicate_if_an_earlier_one_has_its_key(
    tmp_path_factory: pytest.TempPathFactory, chunks: list[list[int | None]], rows_per_bucket: int
) -> None:
    seen: set[int] = set()
    wanted = []
    for number in (number for chunk in chunks for number in chunk):
        wanted.append(number is not None and number in seen)
        seen |= {number} - {None}
    assert judged(tmp_path_factory.mktemp("keys"), chunks, rows_per_bucket) == wanted


def test_bucket_files_are_gone_afterwards_and_those_of_a_killed_run_are_not_read(tmp_path: Path) -> None:
    chunks: list[list[int | None]] = [list(range(10)), list(range(10))]
    with Duplicates(tmp_path, 20, 5, most_held=5) as killed:
        for number, chunk in enumerate(chunks):
            killed.add(number * 10, pa.array([key(n) for n in chunk if n is not None], pa.binary(KEY_BYTES)))
        left = {path.name: path.read_bytes() for path in tmp_path.glob(".keys-*")}
    assert left
    assert list(tmp_path.iterdir()) == []
    for name, content in left.items():
        (tmp_path / name).write_bytes(content)
    fresh: list[list[int | None]] = [[100, 101], [102], [0, 1, 2, 3]]
    assert judged(tmp_path, fresh, 2) == [False] * 7
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_keys_wait_in_memory_up_to_a_bound_however_many_rows_there_are(tmp_path: Path) -> None:
    with Duplicates(tmp_path, 10**8) as duplicates:
        for first in range(0, 2 * MOST_HELD, CHUNK):
            duplicates.add(
                first, pa.array(map(key, range(first, first + CHUNK)), pa.binary(KEY_BYTES), size=CHUNK)
            )
            assert duplicates.rows_held < MOST_HELD
        assert keys_in_files(tmp_path) == 2 * MOST_HELD - duplicates.rows_held
