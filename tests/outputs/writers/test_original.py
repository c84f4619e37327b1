"""An output file is stored as its original is: codecs, dictionaries and encodings of each column, and its metadata."""

import random
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.outputs.writers.original import Original
from pipeline.outputs.writers.parquet import ParquetFileWriter

ROWS = 5_000
RANDOM = random.Random(1)
TABLE = pa.table(
    {
        "text": [f"word {number % 7}" for number in range(ROWS)],
        "double": [RANDOM.random() for _ in range(ROWS)],
        "list": [[number, number + 1] for number in range(ROWS)],
        "struct": [{"a": number % 3, "b.c": str(number)} for number in range(ROWS)],
    }
)


def rewritten(folder: Path, table: pa.Table, **stored: Any) -> tuple[pq.ParquetFile, pq.ParquetFile]:
    """Write *table*, stored as told, and once more as the output of the first file with a new column."""
    pq.write_table(table, folder / "in.parquet", **stored)
    original = Original.at(folder / "in.parquet")
    output = table.append_column("label", pa.repeat("x", table.num_rows))
    with ParquetFileWriter(folder / "out.parquet", original.described(output.schema), original) as writer:
        writer.write(output.cast(original.described(output.schema)))
    return pq.ParquetFile(folder / "in.parquet"), pq.ParquetFile(folder / "out.parquet")


def chunks(file: pq.ParquetFile) -> list[pq.ColumnChunkMetaData]:
    group = file.metadata.row_group(0)
    return [group.column(number) for number in range(group.num_columns)]


@pytest.mark.parametrize("codec", ["none", "snappy", "gzip", "brotli", "lz4", "zstd"])
def test_columns_keep_their_codec_and_new_ones_have_the_usual_one(tmp_path: Path, codec: str) -> None:
    before, after = rewritten(tmp_path, TABLE, compression=codec)
    (own,) = {chunk.compression for chunk in chunks(before)}
    assert {chunk.compression for chunk in chunks(after)} == {own}


def test_each_column_keeps_its_own_codec_and_dictionary(tmp_path: Path) -> None:
    codecs = {"text": "gzip", "double": "none", "list.list.element": "zstd", "struct.a": "snappy", "struct.b.c": "brotli"}  # fmt: skip
    before, after = rewritten(tmp_path, TABLE, compression=codecs, use_dictionary=["text", "struct.a"])
    for own, new in zip(chunks(before), chunks(after), strict=False):
        assert (own.compression, own.has_dictionary_page) == (new.compression, new.has_dictionary_page)
    assert [chunk.has_dictionary_page for chunk in chunks(after)] == [True, False, False, True, False, True]


def test_a_dictionary_that_made_numbers_no_smaller_is_not_written_again(tmp_path: Path) -> None:
    before, after = rewritten(tmp_path, TABLE.select(["double"]), compression="none")
    assert chunks(before)[0].has_dictionary_page
    assert not chunks(after)[0].has_dictionary_page
    assert chunks(after)[0].total_compressed_size < chunks(before)[0].total_compressed_size


def test_encodings_of_numbers_and_texts_stay(tmp_path: Path) -> None:
    encodings = {
        "text": "DELTA_BYTE_ARRAY", "double": "BYTE_STREAM_SPLIT",
        "list.list.element": "DELTA_BINARY_PACKED", "struct.b.c": "DELTA_LENGTH_BYTE_ARRAY",
    }  # fmt: skip
    _, after = rewritten(tmp_path, TABLE, use_dictionary=False, column_encoding=encodings)
    found = {chunk.path_in_schema: chunk.encodings for chunk in chunks(after)}
    assert all(encoding in found[path] for path, encoding in encodings.items())


def test_a_file_that_polars_wrote_does_not_grow(tmp_path: Path) -> None:
    words = [f"{RANDOM.randrange(5000):07}" for _ in range(50_000)]
    table = pa.table({"text": [" ".join(RANDOM.choices(words, k=20)) for _ in range(ROWS)]})
    pl.DataFrame(table).write_parquet(tmp_path / "in.parquet")
    original = Original.at(tmp_path / "in.parquet")
    with ParquetFileWriter(tmp_path / "out.parquet", table.schema, original) as writer:
        writer.write(table)
    before, after = ((tmp_path / name).stat().st_size for name in ("in.parquet", "out.parquet"))
    assert after < before * 1.02


def test_a_page_index_stays(tmp_path: Path) -> None:
    for index in (True, False):
        _, after = rewritten(tmp_path, TABLE, write_page_index=index)
        assert chunks(after)[0].has_offset_index == index


def test_metadata_of_the_file_and_of_its_columns_are_its_own(tmp_path: Path) -> None:
    schema = pa.schema(
        [pa.field("text", pa.string(), metadata={"unit": "words"}), ("n", pa.int64())], {"whole": "1"}
    )
    with pq.ParquetWriter(tmp_path / "a.parquet", schema) as writer:
        writer.write_table(pa.Table.from_pydict({"text": ["a"], "n": [1]}, schema))
        writer.add_key_value_metadata({"footer only": "2"})
    of_another = pa.schema(
        [("text", pa.string()), pa.field("n", pa.int64(), metadata={"b": "b"})], {"other": "3"}
    )
    described = Original.at(tmp_path / "a.parquet").described(of_another)
    assert described.metadata == {b"whole": b"1", b"footer only": b"2"}
    assert [field.metadata or {} for field in described] == [{b"unit": b"words"}, {}]
