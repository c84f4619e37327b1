"""Arrow files and streams: their rows and types come in as they are, and none that was cut short does."""

import io

import polars as pl
import pyarrow as pa
import pyarrow.feather
import pytest

from pipeline.inputs.read import read_batches

TABLE = pa.table(
    {
        "text": ["a", None, "c"],
        "n": pa.array([1, 2, None], pa.uint8()),
        "d": pa.array(["x", "y", "x"]).dictionary_encode(),
        "l": pa.array([[1], None, []], pa.list_(pa.int32())),
        "t": pa.array([0, 1, None], pa.timestamp("us", "Europe/Berlin")),
    },
).replace_schema_metadata({"k": "v"})


def as_file(table, **options):
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema, **options) as writer:
        writer.write_table(table, max_chunksize=2)
    return sink.getvalue().to_pybytes()


def as_stream(table):
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)
    return sink.getvalue().to_pybytes()


def as_feather(table):
    sink = pa.BufferOutputStream()
    pyarrow.feather.write_feather(table, sink, compression="zstd")
    return sink.getvalue().to_pybytes()


WRITERS = [
    ("a.arrow", as_file),
    ("a.feather", as_feather),
    ("a.arrow", as_stream),
    ("a.arrow.gz", as_stream),
    ("a.feather.gz", as_feather),
]


@pytest.mark.parametrize(("name", "write"), WRITERS)
def test_rows_types_and_metadata_come_in_as_they_are(put, look, name, write):
    source = look(put(name, write(TABLE)))
    assert source.schema.equals(TABLE.schema, check_metadata=True)
    got = pa.Table.from_batches(list(read_batches(source, source.files[0])), source.schema)
    assert got.to_pylist() == TABLE.to_pylist()


@pytest.mark.slow
@pytest.mark.parametrize(("name", "write"), WRITERS[:3])
def test_a_file_that_was_cut_anywhere_is_refused(put, refused, name, write):
    data = write(TABLE)
    for end in range(12, len(data), 8):
        refused(put(name, data[:end]), "a.")


def test_a_table_without_rows_has_its_columns(put, look):
    source = look(put("a.arrow", as_file(TABLE.slice(0, 0))))
    assert (source.rows, source.schema.names) == (0, TABLE.schema.names)


def test_a_column_that_parquet_cannot_hold_is_named(put, refused):
    table = pa.table({"text": ["a"], "u": pa.array([None], pa.month_day_nano_interval())})
    refused(
        put("a.arrow", as_file(table)), "column 'u' is month_day_nano_interval, which Parquet cannot hold"
    )


@pytest.mark.parametrize("name", ["a.arrow", "a.arrow.gz"])
def test_a_file_that_polars_writes_comes_in(put, read, name):
    sink = io.BytesIO()
    pl.DataFrame({"text": ["a", None], "n": [1, 2]}).write_ipc(sink)
    assert read(put(name, sink.getvalue())) == {"text": ["a", None]}


def test_a_packed_file_that_was_cut_between_two_batches_before_it_was_packed_is_refused(put, refused):
    for write in (as_file, as_stream):
        data = write(TABLE)
        for end in range(8, len(data), 8):
            refused(put("a.arrow.gz", data[:end]), "a.arrow.gz: ")
