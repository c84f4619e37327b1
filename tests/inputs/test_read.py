"""Whatever was written is read back, row for row, however it is cut into chunks."""

import io
from itertools import pairwise

import polars as pl
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import InputDataError
from pipeline.inputs.read import read_batches, read_chunks
from pipeline.inputs.source import all_spans, ensure_unchanged
from pipeline.records import Span

NAMES = ("id", "text", "more")
CELLS = st.none() | st.text(max_size=12) | st.text(alphabet='a,;"\n\r\t\0 \ufeffé𝄞', max_size=8)
ROWS = st.lists(st.tuples(CELLS, CELLS, CELLS), max_size=40)


def as_table(rows):
    return pa.table({name: pa.array([row[n] for row in rows], pa.string()) for n, name in enumerate(NAMES)})


def by_pyarrow(table):
    sink = io.BytesIO()
    pa_csv.write_csv(table, sink)
    return sink.getvalue()


def by_polars(table):
    return pl.DataFrame(pl.from_arrow(table)).write_csv().encode()


def by_polars_quoting_all(table):
    return pl.DataFrame(pl.from_arrow(table)).write_csv(quote_style="always").encode()


def parquet_by_polars(table):
    sink = io.BytesIO()
    pl.DataFrame(pl.from_arrow(table)).write_parquet(sink, row_group_size=7)
    return sink.getvalue()


def parquet_by_pyarrow(table):
    sink = io.BytesIO()
    pq.write_table(table, sink, row_group_size=5)
    return sink.getvalue()


WRITERS = [
    ("a.csv", by_pyarrow),
    ("a.csv.gz", by_pyarrow),
    ("a.csv", by_polars),
    ("a.parquet", parquet_by_polars),
    ("a.parquet", parquet_by_pyarrow),
]


def spans_of(rows, edges):
    """The stretches between *edges* (row numbers), every second one left out."""
    cuts = sorted({0, rows, *(edge for edge in edges if edge < rows)})
    return [Span(a, b) for a, b in list(pairwise(cuts))[::2]]


@given(
    rows=ROWS,
    writer=st.sampled_from(WRITERS),
    edges=st.lists(st.integers(1, 40), max_size=6),
    max_rows=st.integers(1, 9),
    max_bytes=st.integers(1, 60),
)
def test_any_text_comes_back_in_any_chunking(put, look, rows, writer, edges, max_rows, max_bytes):
    name, write = writer
    source = look(put(name, write(as_table(rows))), "text", "more", nulls=[])
    assert source.rows == len(rows)
    spans = spans_of(len(rows), edges)
    chunks = list(read_chunks(source, ["more", "text"], spans, max_rows=max_rows, max_bytes=max_bytes))
    assert [row for span in spans for row in range(span.start, span.stop)] == [
        row for chunk in chunks for row in range(chunk.span.start, chunk.span.stop)
    ]
    for chunk in chunks:
        cells = list(zip(chunk.columns["text"], chunk.columns["more"], strict=True))
        assert cells == [row[1:] for row in rows[chunk.span.start : chunk.span.stop]]
        size = sum(len(cell.encode()) for pair in cells for cell in pair if cell)
        assert chunk.span.rows == 1 or (chunk.span.rows <= max_rows and size <= max_bytes)


@given(rows=ROWS, writer=st.sampled_from(WRITERS))
def test_batches_for_publishing_are_the_table_itself(put, look, rows, writer):
    name, write = writer
    table = as_table(rows)
    source = look(put(name, write(table)))
    batches = list(read_batches(source, source.files[0]))
    got = pa.Table.from_batches(batches, source.schema)
    assert got.to_pydict() == table.to_pydict()
    assert got.schema.names == table.schema.names


@given(cells=st.lists(CELLS, max_size=20), write=st.sampled_from([by_pyarrow, by_polars_quoting_all]))
def test_a_table_of_one_column_keeps_its_empty_rows(put, read, cells, write):
    table = pa.table({"text": pa.array(cells, pa.string())})
    if write is by_polars_quoting_all:
        table = table.set_column(0, "text", table["text"].fill_null(""))
    assert read(put("a.csv", write(table)), nulls=[]) == table.to_pydict()


def test_chunks_end_at_the_same_rows_whatever_the_row_groups(put, look):
    table = pa.table({"text": [f"{n}" * (n % 17) for n in range(3000)]})
    ends = []
    for size in (3000, 1000, 7):
        sink = io.BytesIO()
        pq.write_table(table, sink, row_group_size=size)
        source = look(put(f"{size}.parquet", sink.getvalue()))
        ends.append(
            [
                c.span.stop
                for c in read_chunks(source, ["text"], all_spans(source), max_rows=100, max_bytes=2000)
            ]
        )
    assert ends[0] == ends[1] == ends[2]
    assert ends[0][-1] == 3000


def test_row_indices_run_through_the_files_in_order_of_their_names(put, look, tmp_path):
    for name in ("b", "a", "c"):
        put(f"d/{name}.csv", f"text\n{name}1\n{name}2\n")
    put("d/b0.csv", "text\n")
    source = look(tmp_path / "d")
    (chunk,) = read_chunks(source, ["text"], all_spans(source))
    assert (chunk.span, chunk.columns["text"]) == (Span(0, 6), ["a1", "a2", "b1", "b2", "c1", "c2"])
    chunks = read_chunks(source, ["text"], [Span(1, 5), Span(5, 6)], max_rows=3)
    assert [(c.span, c.columns["text"]) for c in chunks] == [
        (Span(1, 4), ["a2", "b1", "b2"]),
        (Span(4, 5), ["c1"]),
        (Span(5, 6), ["c2"]),
    ]


def test_only_the_named_columns_are_decoded(put, look):
    sink = io.BytesIO()
    table = pa.table({"text": ["a"] * 1000, "rotten": [f"{n:050}" for n in range(1000)]})
    pq.write_table(
        table, sink, compression="none", use_dictionary=False, write_page_checksum=True, row_group_size=500
    )
    data = bytearray(sink.getvalue())
    data[data.index(b"700".zfill(50))] ^= 1
    source = look(put("a.parquet", bytes(data)))
    assert sum(c.span.rows for c in read_chunks(source, ["text"], all_spans(source))) == 1000
    with pytest.raises(InputDataError, match="rows 500 to 999"):
        list(read_batches(source, source.files[0]))
    assert sum(b.num_rows for b in read_batches(source, source.files[0], ["text"])) == 1000


def test_rows_before_a_span_cost_nothing_where_their_row_groups_are_skipped(put, look):
    data = bytearray(parquet_by_pyarrow(as_table([(f"{n:09}", f"{n:09}", "") for n in range(50)])))
    for place in range(4, data.index(b"000000040")):
        data[place] = 0
    path = put("a.parquet", parquet_by_pyarrow(as_table([(f"{n:09}", f"{n:09}", "") for n in range(50)])))
    source = look(path)
    path.write_bytes(bytes(data))
    (chunk,) = read_chunks(source, ["text"], [Span(41, 44)])
    assert chunk.columns["text"] == ["000000041", "000000042", "000000043"]


@pytest.mark.slow
def test_a_cell_of_100_mb_is_read_from_csv_and_parquet(put, look):
    big = "é" + "x" * 100_000_000
    for path in (
        put("a.csv", f'id,text\n1,a\n2,"{big}\n"\n3,b\n'),
        put("a.parquet", pa.table({"text": ["a", big + "\n", "b"]})),
    ):
        source = look(path)
        chunks = list(read_chunks(source, ["text"], all_spans(source)))
        assert [c.span.rows for c in chunks] == [1, 1, 1]
        assert chunks[1].columns["text"] == [big + "\n"]


@pytest.mark.slow
def test_large_cells_are_published_a_few_at_a_time(put, look):
    source = look(put("a.parquet", pa.table({"text": [str(n) * 1_000_000 for n in range(10, 60)]})))
    sizes = [batch.nbytes for batch in read_batches(source, source.files[0])]
    assert max(sizes) < 20 << 20
    assert len(sizes) > 1


def test_a_file_cut_between_survey_and_reading_is_named(put, look):
    path = put("a.parquet", pa.table({"text": list("abc") * 1000}))
    source = look(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputDataError, match=r"a.parquet: rows 0 to \d+ cannot be read"):
        list(read_chunks(source, ["text"], all_spans(source)))
    with pytest.raises(InputDataError, match=r"a.parquet: changed while"):
        ensure_unchanged(source)


def test_a_file_with_more_rows_than_at_the_survey_is_named(put, look):
    path = put("a.parquet", pa.table({"text": ["a"] * 10}))
    source = look(path)
    put("a.parquet", pa.table({"text": ["a"] * 20}))
    with pytest.raises(InputDataError, match=r"rows 0 to 9 cannot be read \(it holds another number of rows"):
        list(read_batches(source, source.files[0]))


def test_reading_stops_without_leaving_the_file_open(put, look, recwarn):
    source = look(put("a.csv", "text\n" + "a\n" * 10_000))
    chunks = read_chunks(source, ["text"], all_spans(source), max_rows=10)
    assert next(chunks).span.rows == 10
    chunks.close()
    assert not recwarn.list


def test_an_empty_table_has_a_schema_and_no_chunks(put, look):
    for path in (put("a.csv", "id,text"), put("b.csv", "id,text\n\n"), put("a.parquet", as_table([]))):
        source = look(path)
        assert source.rows == 0
        assert all_spans(source) == []
        assert list(read_chunks(source, ["text"], all_spans(source))) == []
        assert list(read_batches(source, source.files[0])) == []
        assert "text" in source.schema.names


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
@pytest.mark.slow
def test_memory_does_not_grow_with_the_rows(put, look, name):
    peaks = []
    for rows in (50_000, 400_000):
        table = pa.table({"text": [f"{n:0100}" for n in range(rows)]})
        source = look(put(name, by_pyarrow(table) if name == "a.csv" else table))
        del table
        before = pa.total_allocated_bytes()
        held = [pa.total_allocated_bytes() - before for _ in read_chunks(source, ["text"], all_spans(source))]
        held += [pa.total_allocated_bytes() - before for _ in read_batches(source, source.files[0])]
        peaks.append(max(held))
    assert peaks[1] < 1.5 * peaks[0]
    assert peaks[1] < 30 << 20
