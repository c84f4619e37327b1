"""Parquet: damaged and impossible files are refused, and none of them ends the process."""

import contextlib
import datetime as dt
import io
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as pqe
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import InputDataError
from pipeline.inputs.columnar.pages import oversized_page
from pipeline.inputs.read import read_batches, read_chunks
from pipeline.inputs.source import all_spans
from tests.foreign_parquet import enums
from tests.inputs.allocated import allocated
from tests.inputs.samples import GOOD_PARQUET, parquet_bytes


@pytest.mark.parametrize("constant", ["x", "a sentence that every row has " * 100, None, ""])
def test_real_columns_that_compress_well_are_not_called_impossible(put, look, constant):
    sink = io.BytesIO()
    pq.write_table(
        pa.table({"text": pa.repeat(pa.scalar(constant, pa.string()), 200_000)}), sink, compression="zstd"
    )
    assert look(put("a.parquet", sink.getvalue())).rows == 200_000


def test_columns_whose_names_have_dots_are_told_apart(put, read):
    table = pa.table({"a": ["1"], "a.b": ["2"], "": ["3"], "s": [{"b": "4"}]})
    assert read(put("a.parquet", table), "a", "a.b") == {"a": ["1"], "a.b": ["2"]}


def test_an_unused_column_that_cannot_be_decoded_is_refused_at_once(put, look):
    sink = io.BytesIO()
    pq.write_table(pa.table({"other": ["abc"], "text": ["def"]}), sink, compression="gzip")
    data = sink.getvalue()
    assert data.count(b"other\x15\x04") == 1
    with pytest.raises(InputDataError, match="codec"):
        look(put("a.parquet", data.replace(b"other\x15\x04", b"other\x15\x06")))


def test_a_footer_with_other_row_counts_is_refused(put, look):
    sink = io.BytesIO()
    pq.write_table(pa.table({"text": ["a"] * 1000}), sink, row_group_size=500)
    data, footer = sink.getvalue(), int.from_bytes(sink.getvalue()[-8:-4], "little")
    start = len(data) - footer - 8
    declared = data.index(b"\x16\xd0\x0f", start)  # 1000 rows, as a zigzag varint behind its field's head
    with pytest.raises(InputDataError, match="declares 999 rows, its row groups other numbers"):
        look(put("a.parquet", data[:declared] + b"\x16\xce\x0f" + data[declared + 3 :]))


def test_an_encrypted_column_is_refused_and_does_not_end_the_process(put, look):
    class Keys(pqe.KmsClient):
        def wrap_key(self, key_bytes, _master):
            return key_bytes.hex()

        def unwrap_key(self, wrapped, _master):
            return bytes.fromhex(wrapped)

    factory = pqe.CryptoFactory(lambda _: Keys())
    for plaintext_footer in (True, False):
        how = pqe.EncryptionConfiguration(
            footer_key="f", column_keys={"c": ["text"]}, plaintext_footer=plaintext_footer
        )
        path = put("a.parquet", b"")
        table = pa.table({"text": ["a"]})
        keys = factory.file_encryption_properties(pqe.KmsConnectionConfig(), how)
        pq.write_table(table, path, encryption_properties=keys)
        with pytest.raises(InputDataError, match=r"encrypted.*decrypt it first"):
            look(path)


def test_a_corrupt_page_is_named_by_file_and_rows(put, look, read):
    rows = [f"{number:050}" for number in range(10_000)]
    options = {"compression": "none", "use_dictionary": False, "row_group_size": 2_500}
    data = bytearray(parquet_bytes(pa.table({"text": rows}), write_page_checksum=True, **options))
    data[data.index(b"5100".zfill(50))] ^= 1
    path = put("a.parquet", bytes(data))
    assert look(path).rows == 10_000
    with pytest.raises(InputDataError, match=r"a.parquet: rows 5000 to 7499 cannot be read .*CRC"):
        read(path)


def test_times_of_the_years_1_to_9999_stay_what_they_are_in_int96(put, look, read):
    times = [dt.datetime(year, 12, 31, 23, 59, 59, 999_999) for year in (1, 1600, 1970, 2262, 9999)]  # noqa: DTZ001 - INT96 knows no zone
    sink = io.BytesIO()
    table = pa.table({"text": pa.array(times, pa.timestamp("us"))})
    pq.write_table(table, sink, use_deprecated_int96_timestamps=True)
    path = put("a.parquet", sink.getvalue())
    assert "int96" in str(pq.ParquetFile(path).schema)
    assert read(path)["text"] == [str(time) for time in times]
    source = look(path)
    assert next(read_batches(source, source.files[0])).column("text").to_pylist() == times


def test_enums_are_text_where_they_are_used_and_where_they_are_kept(put, look, read):
    path = put("a.parquet", enums())
    assert read(path, "kind") == {"kind": ["cat", None, "dog"]}
    source = look(path)
    assert source.schema.field("kind").type == pa.string()
    assert next(read_batches(source, source.files[0])).column("kind").to_pylist() == ["cat", None, "dog"]


def test_entries_of_the_footer_that_the_schema_for_arrow_does_not_have_are_metadata_too(put, look):
    sink = io.BytesIO()
    with pq.ParquetWriter(sink, pa.schema([("text", pa.string())], {"in both": "1"})) as writer:
        writer.add_key_value_metadata({"footer": "2"})
    assert look(put("a.parquet", sink.getvalue())).schema.metadata == {b"in both": b"1", b"footer": b"2"}


TEXTS_THAT_SHRINK = {
    "mails from a template": (
        [f"{n} {'a template ' * 1300}" for n in range(12_000)],
        {"use_dictionary": False},
    ),
    "cells of one letter": (["a" * 1000] * 140_000, {"use_dictionary": False}),
    "a long text that all rows have": (["a" * 1_000_000] * 500, {}),
    "long texts that many rows have": ([f"{n % 9}" * 100_000 for n in range(4_000)], {}),
}


@pytest.mark.parametrize("case", TEXTS_THAT_SHRINK)
@pytest.mark.slow
def test_text_that_shrinks_a_thousand_times_is_read_in_little_memory(put, look, case):
    rows, stored = TEXTS_THAT_SHRINK[case]
    path = put("a.parquet", parquet_bytes(pa.table({"text": rows}), compression="zstd", **stored))
    assert path.stat().st_size * 400 < sum(map(len, rows))
    with allocated() as peak:
        source = look(path)
        (file,) = source.files
        sizes = (
            sum(map(len, chunk.columns["text"])) for chunk in read_chunks(source, ["text"], all_spans(source))
        )
        assert sum(sizes) == sum(map(len, rows))
        assert sum(batch.num_rows for batch in read_batches(source, file)) == len(rows)
    assert peak[0] < 80 << 20  # decoded, they have 140 to 500 MB


@pytest.mark.slow
def test_rows_with_the_one_long_text_of_a_dictionary_of_short_ones_are_read_in_bounded_memory(put, look):
    words = pa.array([*(f"{n:07}" for n in range(50_000)), "a" * 10_000_000])
    text = pa.DictionaryArray.from_arrays(pa.array([*range(50_000), *[50_000] * 200]), words)
    stored = {"dictionary_pagesize_limit": 64 << 20, "store_schema": False}
    with allocated() as peak:
        source = look(put("a.parquet", parquet_bytes(pa.table({"text": text}), **stored)))
        assert source.schema.field("text").type == pa.string()
        assert sum(batch.num_rows for batch in read_batches(source, source.files[0])) == 50_200
    assert peak[0] < 1 << 30  # decoded, they have 2 GB


def test_a_page_of_a_later_row_group_that_takes_too_much_memory_is_refused(put, refused):
    table = pa.table({"text": ["b", "a" * 140_000_000]})
    content = parquet_bytes(table, compression="zstd", row_group_size=1, use_dictionary=False)
    refused(put("a.parquet", content), "row group 1, column 'text'", "in a page of", "smaller pages")


@given(st.binary(min_size=1, max_size=60))
def test_pages_with_damaged_headers_are_found_damaged_and_nothing_else(tmp_path_factory, noise):
    content = parquet_bytes(pa.table({"text": ["a" * 5_000]}), compression="none", use_dictionary=False)
    path = tmp_path_factory.mktemp("noise") / "a.parquet"
    path.write_bytes(content[:4] + noise + content[4 + len(noise) :])
    with contextlib.suppress(ValueError):
        oversized_page(path)


DAMAGED = {
    "a cut Parquet": ("a.parquet", GOOD_PARQUET[:-9], ["cut short"]),
    "a Parquet without its middle": ("a.parquet", GOOD_PARQUET[:30] + GOOD_PARQUET[40:], ["can be read", "write it again"]),
    "a bomb in one cell": (
        "a.parquet", lambda: parquet_bytes(pa.table({"text": ["a" * 140_000_000]}), compression="zstd"), ["140000", "smaller"],
    ),
    "a bomb beside honest text": (
        "a.parquet",
        lambda: parquet_bytes(
            pa.table({"text": ["a" * 140_000_000], "noise": [random.Random(1).randbytes(2 << 20)]}), compression="zstd"
        ),
        ["column 'text'", "declares 140000", "smaller"],
    ),
    "a codec without a decoder": ("a.parquet", GOOD_PARQUET.replace(b"text\x15\x04", b"text\x15\x06"), ["codec", "zstd"]),
    "a codec without a name": ("a.parquet", GOOD_PARQUET.replace(b"text\x15\x04", b"text\x15\x28"), ["codec", "zstd"]),
}  # fmt: skip


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_or_impossible_parquet_file_is_refused(put, refused, case):
    name, content, words = DAMAGED[case]
    refused(put(name, content() if callable(content) else content), *words)
