"""Every type that has a text is read as that text, and published as it was."""

import datetime as dt
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.inputs.read import read_batches, read_chunks
from pipeline.inputs.source import all_spans
from pipeline.inputs.text import as_text, byte_lengths, cells, has_text

MOMENT = dt.datetime(2024, 1, 2, 3, 4, 5, 600_000)  # noqa: DTZ001 - the zone is the column's


TEXTS = {
    "string": (pa.array(["a", "", None]), ["a", "", None]),
    "large_string": (pa.array(["é"], pa.large_string()), ["é"]),
    "string_view": (pa.array(["a longer text than twelve", None], pa.string_view()), ["a longer text than twelve", None]),
    "dictionary": (pa.array(["x", "y", "x", None]).dictionary_encode(), ["x", "y", "x", None]),
    "dictionary of numbers": (pa.array([7, 7, None]).dictionary_encode(), ["7", "7", None]),
    "int64": (pa.array([1, -2, None]), ["1", "-2", None]),
    "uint64": (pa.array([2**64 - 1], pa.uint64()), ["18446744073709551615"]),
    "double": (pa.array([0.1, 1e20, None]), ["0.1", "1e+20", None]),
    "bool": (pa.array([True, False, None]), ["true", "false", None]),
    "decimal": (pa.array([Decimal("1.10"), Decimal("-0.05")]), ["1.10", "-0.05"]),
    "date": (pa.array([MOMENT.date()]), ["2024-01-02"]),
    "timestamp": (pa.array([MOMENT]), ["2024-01-02 03:04:05.600000"]),
    "timestamp in a zone": (
        pa.array([MOMENT], pa.timestamp("us", "Europe/Berlin")), ["2024-01-02 04:04:05.600000+0100"],
    ),
    "time": (pa.array([MOMENT.time()]), ["03:04:05.600000"]),
    "duration": (pa.array([dt.timedelta(seconds=90)], pa.duration("s")), ["90"]),
    "null": (pa.nulls(2), [None, None]),
    "uuid": (
        pa.array([bytes(range(16)), None, b"\xff" * 16], pa.uuid()),
        ["00010203-0405-0607-0809-0a0b0c0d0e0f", None, "ffffffff-ffff-ffff-ffff-ffffffffffff"],
    ),
    "uuid without a value": (pa.nulls(2, pa.uuid()), [None, None]),
    "json": (pa.ExtensionArray.from_storage(pa.json_(), pa.array(['{"a":1}'])), ['{"a":1}']),
}  # fmt: skip


@pytest.mark.parametrize("kind", TEXTS)
def test_every_type_with_a_text_is_read_as_that_text(put, read, kind):
    column, expected = TEXTS[kind]
    table = pa.table({"text": column})
    assert read(put("a.parquet", table)) == {"text": expected}


@pytest.mark.parametrize("kind", TEXTS)
def test_columns_are_published_in_their_own_types(put, look, kind):
    table = pa.table({"text": TEXTS[kind][0]}).replace_schema_metadata({"who": "me"})
    path = put("a.parquet", table)
    source = look(path)
    (batch,) = read_batches(source, source.files[0])
    assert batch.schema.types == pq.read_schema(path).types == source.schema.types
    assert source.schema.metadata == {b"who": b"me"}


def test_a_slice_of_uuids_has_its_own_texts():
    column = pa.array([bytes([number]) * 16 for number in range(5)], pa.uuid()).slice(2, 2)
    assert cells(as_text(column)) == [
        "02020202-0202-0202-0202-020202020202",
        "03030303-0303-0303-0303-030303030303",
    ]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
def test_a_lone_surrogate_becomes_a_replacement_character(put, read, kind):
    raw = pa.array([b"a\xed\xa0\x80b", b"\xff", "é".encode(), None], pa.binary())
    text = raw.cast(pa.large_binary()).view(kind) if kind == pa.large_string() else raw.view(kind)
    expected = ["a\ufffd\ufffd\ufffdb", "\ufffd", "é", None]
    assert read(put("a.parquet", pa.table({"text": text}))) == {"text": expected}
    coded = pa.DictionaryArray.from_arrays(pa.array([1, 0, 2, 3]), text)
    assert cells(as_text(coded)) == [expected[i] for i in (1, 0, 2, 3)]


def test_a_string_view_with_bad_bytes_is_no_crash():
    view = pa.array([b"a\xffb and more than twelve bytes", b"ok"], pa.binary_view()).view(pa.string_view())
    assert cells(as_text(view)) == ["a\ufffdb and more than twelve bytes", "ok"]


def test_lengths_are_bytes_and_a_null_has_none():
    for text in (pa.array(["é", None, ""]), pa.array(["é", None, ""]).dictionary_encode()):
        assert byte_lengths(text).to_pylist() == [2, 0, 0]


def test_a_value_that_repeats_in_a_dictionary_is_decoded_once(put, look):
    column = pa.DictionaryArray.from_arrays(pa.array([0] * 1000), pa.array(["x" * 1_000_000]))
    source = look(put("a.parquet", pa.table({"text": column})))
    found = list(read_chunks(source, ["text"], all_spans(source), max_bytes=2 << 30))
    assert len({id(cell) for chunk in found for cell in chunk.columns["text"]}) < 10


@pytest.mark.parametrize(
    "kind",
    [pa.list_(pa.string()), pa.struct([("a", pa.string())]), pa.binary(), pa.binary(4), pa.binary_view()],
)
def test_nested_and_binary_types_have_no_text(kind):
    assert not has_text(kind)
    assert not has_text(pa.month_day_nano_interval())
