"""CSV and JSON Lines come in as the standard library, DuckDB and polars read them, in any dialect."""

import csv
import gzip
import io
import json
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.inputs.read import read_batches
from pipeline.inputs.source import Source

pytestmark = pytest.mark.slow

CELLS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8) | st.text(
    "a,;|\t\"'\n ", max_size=6
)
NAMES = ["id", "text"]
VALUES = st.fixed_dictionaries(
    {
        "text": CELLS,
        "whole": st.none() | st.integers(-(2**63), 2**63 - 1),
        "number": st.none() | st.floats(allow_nan=False, allow_infinity=False),
        "flag": st.booleans(),
        "tags": st.lists(CELLS, max_size=3),
        "inner": st.fixed_dictionaries({"a": st.integers(-9, 9), "b": st.none() | CELLS}),
    }
)


def taken_in(source: Source) -> list[dict[str, Any]]:
    return [row for batch in read_batches(source, source.files[0]) for row in batch.to_pylist()]


@pytest.mark.parametrize("packed", ["", ".gz"])
@example(rows=[("a\nb", 'say "x"')], delimiter=",", quoting=csv.QUOTE_MINIMAL, end="\r\n")
@given(
    rows=st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=12),
    delimiter=st.sampled_from(",;|\t"),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_a_csv_file_is_what_others_read(tmp_path, look, packed, rows, delimiter, quoting, end):
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter, quoting=quoting, lineterminator=end).writerows([NAMES, *rows])
    data = text.getvalue().encode()
    path = tmp_path / f"a.csv{packed}"
    path.write_bytes(gzip.compress(data) if packed else data)
    found = [tuple(cell or "" for cell in row.values()) for row in taken_in(look(path, delimiter=delimiter))]
    assert (
        found
        == [tuple(row) for row in csv.reader(io.StringIO(data.decode(), newline=""), delimiter=delimiter)][1:]
    )
    assert found == by_polars(path, delimiter)
    assert found == by_duckdb(path, delimiter)


def by_polars(path: Path, delimiter: str) -> list[tuple[str, ...]]:
    frame = pl.read_csv(path, separator=delimiter, infer_schema=False)
    return [tuple(cell or "" for cell in row) for row in frame.rows()]


def by_duckdb(path: Path, delimiter: str) -> list[tuple[str, ...]]:
    how = f"delim='{delimiter}', quote='\"', escape='\"', header=true, all_varchar=true, auto_detect=false"
    columns = "columns={'id': 'VARCHAR', 'text': 'VARCHAR'}"
    with duckdb.connect() as database:
        found = database.execute(f"SELECT * FROM read_csv('{path}', {how}, {columns})").fetchall()
    return [tuple(cell or "" for cell in row) for row in found]


@pytest.mark.parametrize("packed", ["", ".gz"])
@given(rows=st.lists(VALUES, min_size=1, max_size=8), ascii_only=st.booleans())
def test_json_lines_are_what_others_read(tmp_path, look, packed, rows, ascii_only):
    data = "".join(json.dumps(row, ensure_ascii=ascii_only) + "\n" for row in rows).encode()
    path = tmp_path / f"a.jsonl{packed}"
    path.write_bytes(gzip.compress(data) if packed else data)
    found = taken_in(look(path))
    assert found == rows
    assert [row["text"] for row in found] == pl.read_ndjson(io.BytesIO(data), infer_schema_length=None)[
        "text"
    ].to_list()
    with duckdb.connect() as database:
        seen = database.execute(
            f"SELECT text FROM read_json('{path}', format='newline_delimited', columns={{text: 'VARCHAR'}})"
        )
        assert [row["text"] for row in found] == [text for (text,) in seen.fetchall()]
