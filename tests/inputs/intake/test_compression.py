"""Packed files: read as what is in them, and refused if they are damaged."""

import bz2
import gzip

import pyarrow as pa
import pytest

from tests.inputs.samples import GOOD_CSV


def zstd(data):
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as packed:
        packed.write(data)
    return sink.getvalue().to_pybytes()


PACKERS = {".gz": gzip.compress, ".zst": zstd, ".bz2": bz2.compress}


@pytest.fixture
def packed(tmp_path):
    """Write bytes to a file as they are."""

    def packed(name, data):
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return packed


@pytest.mark.parametrize("suffix", PACKERS)
def test_a_packed_file_is_read_to_the_end_of_its_last_member(packed, read, suffix):
    pack = PACKERS[suffix]
    path = packed("a.csv" + suffix, pack(GOOD_CSV.encode()) + pack(b"3,three\n"))
    assert read(path) == {"text": ["one", "two", "three"]}


@pytest.mark.parametrize("suffix", PACKERS)
def test_a_packed_file_cut_short_or_with_something_behind_it_is_refused(packed, refused, suffix):
    whole = PACKERS[suffix](GOOD_CSV.encode() * 1000)
    for data in (whole[:-4], whole[: len(whole) // 2], whole + b"rubbish" * 9):
        refused(packed("a.csv" + suffix, data), "cannot be read to its end", "copy it again")


@pytest.mark.parametrize("suffix", PACKERS)
def test_a_file_packed_otherwise_than_its_name_says_is_refused(packed, refused, suffix):
    refused(packed("a.csv" + suffix, GOOD_CSV.encode()), "is text, not")
    refused(packed("a.csv", PACKERS[suffix](GOOD_CSV.encode())), f"name it .csv{suffix}")
