"""Whatever wrote a table, its columns come out as they went in, as pyarrow and DuckDB see them."""

import asyncio
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import fastparquet
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.faultserver.server import FaultServer
from tests.jobs import JobFiles, right_label, run_job

pytestmark = pytest.mark.slow

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
NAMES = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="{}"), min_size=1, max_size=9
)


class Kind(NamedTuple):
    """A column's type and the values that its cells may have."""

    type: pa.DataType
    cells: st.SearchStrategy[Any]


def whole(bits: int) -> st.SearchStrategy[int]:
    return st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


MOMENTS = st.datetimes(datetime(1700, 1, 1), datetime(2200, 1, 1))  # noqa: DTZ001 - times of day on the wall
FAR = st.datetimes() | st.just(datetime(9999, 12, 31))  # noqa: DTZ001
PLAIN = [
    *(Kind(kind, whole(kind.bit_width)) for kind in (pa.int8(), pa.int16(), pa.int32(), pa.int64())),
    Kind(pa.uint16(), st.integers(0, 2**16 - 1)),
    Kind(pa.float64(), st.floats()),
    Kind(pa.float32(), st.floats(width=32)),
    Kind(pa.bool_(), st.booleans()),
    Kind(pa.string(), TEXT),
    Kind(pa.timestamp("us"), MOMENTS),
    Kind(pa.timestamp("ms"), MOMENTS.map(lambda moment: moment.replace(microsecond=0))),
]
"""What every writer has."""

MORE = [
    Kind(pa.uint64(), st.integers(0, 2**64 - 1)),
    Kind(pa.large_string(), TEXT),
    Kind(pa.binary(), st.binary(max_size=8)),
    Kind(pa.date32(), st.dates(date(1, 1, 1), date(9999, 12, 31))),
    Kind(pa.time64("us"), st.times()),
    Kind(pa.timestamp("us", "UTC"), MOMENTS.map(lambda moment: moment.replace(tzinfo=UTC))),
    Kind(pa.decimal128(20, 3), st.decimals(-(10**16), 10**16, places=3)),
    Kind(pa.list_(pa.int32()), st.lists(st.none() | whole(32), max_size=3)),
    Kind(
        pa.struct({"a": pa.int64(), "b": pa.list_(pa.string())}),
        st.fixed_dictionaries({"a": st.none() | whole(64), "b": st.none() | st.lists(TEXT, max_size=2)}),
    ),
]
"""What Arrow, polars and DuckDB have, too."""

ARROW_ALONE = [
    Kind(pa.timestamp("us"), FAR),
    Kind(pa.dictionary(pa.int8(), pa.string()), st.sampled_from(["a", "b", ""])),
    Kind(pa.date64(), st.dates(date(1900, 1, 1), date(2100, 1, 1))),
    Kind(pa.duration("ms"), st.timedeltas(timedelta(days=-9), timedelta(days=9)).map(lambda gap: gap - timedelta(microseconds=gap.microseconds))),
    Kind(pa.time32("s"), st.times().map(lambda hour: time(hour.hour, hour.minute, hour.second))),
    Kind(pa.float16(), st.floats(width=16)),
    Kind(pa.binary(4), st.binary(min_size=4, max_size=4)),
    Kind(pa.map_(pa.string(), pa.int32()), st.dictionaries(TEXT, whole(32), max_size=2).map(lambda found: list(found.items()))),
    Kind(pa.null(), st.none()),
    Kind(pa.decimal256(50, 2), st.just(Decimal("1.25"))),
]  # fmt: skip
KIND_METADATA = st.dictionaries(NAMES, TEXT, max_size=2)


@st.composite
def tables(draw: st.DrawFn, kinds: list[Kind], *, nulls: bool = True, metadata: bool = False) -> pa.Table:
    """Draw a table with a column `text`."""
    rows = draw(st.integers(1, 12))
    names = draw(
        st.lists(NAMES.filter(lambda name: name.casefold() != "text"), max_size=4, unique_by=str.casefold)
    )
    fields, columns = [], []
    for name in [*names, "text"]:
        kind = Kind(pa.string(), TEXT) if name == "text" else draw(st.sampled_from(kinds))
        nullable = nulls and draw(st.booleans())
        values = st.none() | kind.cells if nullable else kind.cells
        columns.append(pa.array(draw(st.lists(values, min_size=rows, max_size=rows)), kind.type))
        described = draw(KIND_METADATA) if metadata else None
        fields.append(pa.field(name, kind.type, nullable or kind.type == pa.null(), described or None))
    order = draw(st.permutations(range(len(fields))))
    described = draw(KIND_METADATA) if metadata else None
    schema = pa.schema([fields[at] for at in order], described or None)
    return pa.Table.from_arrays([columns[at] for at in order], schema=schema)


def by_pyarrow(table: pa.Table, path: Path, draw: Callable[[list[Any]], Any]) -> None:
    pq.write_table(
        table,
        path,
        row_group_size=draw([1, 3, 100]),
        compression=draw(["none", "snappy", "zstd", "gzip", "brotli", "lz4"]),
        use_dictionary=draw([True, False]),
        data_page_version=draw(["1.0", "2.0"]),
        version=draw(["1.0", "2.4", "2.6"]),
        store_schema=draw([True, False]),
        write_page_index=draw([True, False]),
        use_deprecated_int96_timestamps=draw([True, False]),
    )


def by_polars(table: pa.Table, path: Path, draw: Callable[[list[Any]], Any]) -> None:
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    frame.write_parquet(
        path, row_group_size=draw([1, 3, 100]), compression=draw(["zstd", "snappy", "uncompressed"])
    )


def by_duckdb(table: pa.Table, path: Path, draw: Callable[[list[Any]], Any]) -> None:
    options = f"COMPRESSION {draw(['zstd', 'snappy'])}, PARQUET_VERSION {draw(['v1', 'v2'])}"
    with duckdb.connect() as database:
        database.register("given", table)
        database.execute(f"COPY (SELECT * FROM given) TO '{path}' (FORMAT parquet, {options})")


def by_fastparquet(table: pa.Table, path: Path, draw: Callable[[list[Any]], Any]) -> None:
    fastparquet.write(
        str(path),
        table.to_pandas(),
        row_group_offsets=draw([1, 3, 100]),
        compression=draw([None, "SNAPPY", "GZIP"]),
    )


def by_pandas(table: pa.Table, path: Path, draw: Callable[[list[Any]], Any]) -> None:
    frame = table.to_pandas()
    if draw([True, False]):
        frame.index = pd.RangeIndex(3, 3 + len(frame))
    frame.to_parquet(path, index=draw([None, True, False]))


def by_pandas_without_index(table: pa.Table, path: Path, draw: Callable[[list[Any]], Any]) -> None:
    del draw
    table.to_pandas(types_mapper=pd.ArrowDtype).to_parquet(path, index=False)


WRITERS = {
    "pyarrow": (by_pyarrow, tables([*PLAIN, *MORE, *ARROW_ALONE], metadata=True)),
    "polars": (by_polars, tables([*PLAIN, *MORE])),
    "DuckDB": (by_duckdb, tables([*PLAIN, *MORE])),
    "fastparquet": (by_fastparquet, tables(PLAIN, nulls=False)),
    "pandas": (by_pandas, tables([*PLAIN, *MORE])),
}


@pytest.fixture(scope="module")
def endpoint() -> Iterator[FaultServer]:
    with FaultServer(label_for=right_label) as running:
        yield running


@pytest.mark.parametrize("writer", WRITERS)
@settings(max_examples=60)
@given(data=st.data())
def test_every_column_comes_out_as_it_went_in(
    endpoint: FaultServer, writer: str, data: st.DataObject
) -> None:
    write, drawn = WRITERS[writer]
    with tempfile.TemporaryDirectory() as folder:
        job = JobFiles(Path(folder), endpoint.base_url)
        before = job.folder / "in.parquet"
        write(data.draw(drawn), before, lambda choices: data.draw(st.sampled_from(choices)))
        assume(is_read_by_pyarrow(before))
        result = asyncio.run(run_job(job.config()))
        assert result.failed == 0
        names = pq.read_schema(before).names
        assert seen_by_pyarrow(job.output, names) == seen_by_pyarrow(before, names)
        assert seen_by_duckdb(job.output, names) == seen_by_duckdb(before, names)
        entries = footer_entries(job.output)
        assert {key: entries.get(key) for key in footer_entries(before)} == footer_entries(before)
        for text, label in zip(*labels(job.output), strict=True):
            assert label == (right_label(text) if text and text.strip() else None)


def is_read_by_pyarrow(path: Path) -> bool:
    """Whether pyarrow can read a file at all: DuckDB 2.0 packs -2**31 after eight equal numbers so that it cannot."""
    try:
        pq.read_table(path)
    except (OSError, pa.ArrowException):
        return False
    return True


@settings(max_examples=60)
@given(data=st.data())
def test_parts_of_two_writers_are_one_table(endpoint: FaultServer, data: st.DataObject) -> None:
    """The same columns, each part as its own writer stores them."""
    # INT96 knows no time zone, and pyarrow tells it only in its own schema, which other writers do not have.
    kinds = [kind for kind in [*PLAIN, *MORE] if kind.type != pa.timestamp("us", "UTC")]
    table = data.draw(tables(kinds))
    with tempfile.TemporaryDirectory() as folder:
        job = JobFiles(Path(folder), endpoint.base_url).set(input={"path": "in"}, output={"path": "out"})
        (job.folder / "in").mkdir()
        for number in range(2):
            write = data.draw(st.sampled_from([by_pyarrow, by_polars, by_duckdb, by_pandas_without_index]))
            write(
                table,
                job.folder / "in" / f"{number}.parquet",
                lambda choices: data.draw(st.sampled_from(choices)),
            )
        assume(all(is_read_by_pyarrow(file) for file in (job.folder / "in").iterdir()))
        assert asyncio.run(run_job(job.config())).failed == 0
        before = [
            values_seen(job.folder / "in" / f"{number}.parquet", table.column_names) for number in range(2)
        ]
        after = [values_seen(job.output / f"{number}.parquet", table.column_names) for number in range(2)]
        assert after == before


def values_seen(path: Path, names: list[str]) -> list[list[str]]:
    """Return each column's values as Arrow writes them."""
    table = pq.read_table(path, columns=names, coerce_int96_timestamp_unit="us")
    return [[repr(cell.as_py()) for cell in table.column(name)] for name in names]


def seen_by_pyarrow(path: Path, names: list[str]) -> list[Any]:
    """Return each column's field, with its metadata, and its values."""
    table = pq.read_table(path, columns=names, coerce_int96_timestamp_unit="us")
    fields = [(field.name, str(field.type), field.nullable, field.metadata) for field in table.schema]
    return [(field, [repr(cell.as_py()) for cell in table.column(at)]) for at, field in enumerate(fields)]


def seen_by_duckdb(path: Path, names: list[str]) -> list[Any]:
    """Return each column's type and all rows."""
    chosen = ", ".join('"' + name.replace('"', '""') + '"' for name in names)
    with duckdb.connect() as database:
        found = database.execute(f"SELECT {chosen} FROM read_parquet('{path}')")
        return [[(column[0], str(column[1])) for column in found.description or []], repr(found.fetchall())]


def footer_entries(path: Path) -> dict[bytes, bytes]:
    """Return the file's key-value metadata but for Arrow's own schema, which is about all columns."""
    found = dict(pq.read_metadata(path).metadata or {})
    found.pop(b"ARROW:schema", None)
    return found


def labels(path: Path) -> tuple[list[str | None], list[str | None]]:
    table = pq.read_table(path, columns=["text", "label"])
    return table.column("text").cast(pa.string()).to_pylist(), table.column("label").to_pylist()
