"""Whatever a frame holds, it comes back unchanged with the new columns beside its own."""

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given as examples
from hypothesis import settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from polars.testing.parametric import dataframes

from pipeline.errors import InputDataError, UsageError
from pipeline.frames.given import given
from pipeline.outputs.columns import output_names, output_schema

NEW = {kind: output_names(kind, "") for kind in ("single", "multi")}


def answers(rows: int, kind: str = "single") -> pa.Table:
    """New columns for so many rows, the first of them without an answer."""
    schema = output_schema(pa.schema([]), kind, "")
    values: dict[Any, Any] = {
        pa.string(): "x", pa.list_(pa.string()): ["x", "y"], pa.float64(): 0.5, pa.bool_(): True, pa.int64(): 7,
    }  # fmt: skip
    columns = [[None, *[values[field.type]] * rows][:rows] for field in schema]
    return pa.table([pa.array(each, field.type) for each, field in zip(columns, schema, strict=True)], schema)


TIMES = st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1))  # noqa: DTZ001 - zones are put to them

COLUMNS: dict[str, tuple[st.SearchStrategy[Any], Any]] = {
    "text": (st.none() | st.text(max_size=5), object),
    "str": (st.none() | st.text(st.characters(codec="utf-8"), max_size=5), "string"),
    "int": (st.integers(-(2**63), 2**63 - 1), "int64"),
    "small": (st.integers(0, 255), "uint8"),
    "nullable": (st.none() | st.integers(-(2**63), 2**63 - 1), "Int64"),
    "flag": (st.none() | st.booleans(), "boolean"),
    "float": (st.floats(), "float64"),
    "half": (st.floats(width=16), "float16"),
    "category": (st.none() | st.sampled_from("abc"), "category"),
    "time": (st.none() | TIMES, "datetime64[us]"),
    "zoned": (st.none() | TIMES, "datetime64[us, Europe/Vienna]"),
    "object": (st.none() | st.integers() | st.lists(st.integers()) | st.text(max_size=3), object),
    "arrow": (st.none() | st.integers(0, 99), pd.ArrowDtype(pa.int32())),
}


@st.composite
def pandas_frames(draw: st.DrawFn) -> pd.DataFrame:
    rows = draw(st.integers(0, 6))
    names = draw(st.lists(st.sampled_from(sorted(COLUMNS)), min_size=1, unique=True))
    columns = {
        name: pd.Series(draw(st.lists(strategy, min_size=rows, max_size=rows)), dtype=dtype)
        for name, (strategy, dtype) in COLUMNS.items()
        if name in names
    }
    frame = pd.DataFrame(columns)
    index = draw(st.lists(st.integers(0, 3), min_size=rows, max_size=rows))  # repeats, out of order
    frame.index = draw(st.sampled_from([frame.index, pd.Index(index, name="where")]))
    if draw(st.booleans()):
        frame = frame.rename(columns={name: number for number, name in enumerate(frame)})
    frame.attrs["made by"] = "me"
    return frame


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["single", "multi"])
@settings(max_examples=40)
@examples(frame=pandas_frames())
def test_a_frame_of_pandas_comes_back_with_its_index_its_types_and_its_cells(
    kind: str, frame: pd.DataFrame
) -> None:
    before = frame.copy(deep=True)
    after = given(frame).labelled(answers(len(frame), kind))
    pd.testing.assert_frame_equal(frame, before)  # and the caller's own is as it was
    old = after[list(before.columns)]
    pd.testing.assert_frame_equal(old, before, check_exact=True, check_column_type=False)
    assert list(after.columns) == [*before.columns, *NEW[kind]]
    assert after.attrs == before.attrs
    types = after.dtypes[["label_confidence", "label_truncated", "prompt_tokens", "cost_usd"]]
    assert [str(kind) for kind in types][0::2] == ["float64", "Int64"]


@settings(max_examples=25)
@pytest.mark.parametrize("lazy", [False, True])
@examples(frame=dataframes(max_cols=6, max_size=6, allow_null=True, excluded_dtypes=[pl.Object]))
def test_a_frame_of_polars_comes_back_with_its_types_and_its_cells(
    frame: pl.DataFrame, *, lazy: bool
) -> None:
    after = given(frame.lazy() if lazy else frame).labelled(answers(frame.height))
    assert isinstance(after, pl.LazyFrame if lazy else pl.DataFrame)
    whole = after.lazy().collect()
    assert_frame_equal(whole.select(frame.columns), frame, check_exact=True)
    assert whole.columns == [*frame.columns, *NEW["single"]]


TYPES: list[tuple[st.SearchStrategy[Any], pa.DataType]] = [
    (st.text(max_size=3), pa.large_string()),
    (st.text(max_size=3), pa.string_view()),
    (st.sampled_from("abc"), pa.dictionary(pa.int8(), pa.string())),
    (st.integers(0, 255), pa.uint8()),
    (st.binary(max_size=3), pa.binary()),
    (TIMES, pa.timestamp("us", "Europe/Vienna")),
    (st.decimals(-99, 99, places=2), pa.decimal128(5, 2)),
    (st.lists(st.integers(0, 9), max_size=2), pa.list_(pa.int16())),
    (st.fixed_dictionaries({"a": st.booleans()}), pa.struct([("a", pa.bool_())])),
    (
        st.lists(st.tuples(st.text(max_size=2), st.integers(0, 9)), max_size=2),
        pa.map_(pa.string(), pa.int32()),
    ),
    (st.nothing(), pa.null()),
]


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    rows, chunks = draw(st.integers(0, 4)), draw(st.integers(0, 3))
    fields, columns = [], []
    for number, (values, kind) in enumerate(draw(st.lists(st.sampled_from(TYPES), max_size=5))):
        cells = st.lists(st.none() | values, min_size=rows, max_size=rows)
        columns.append(pa.chunked_array([pa.array(draw(cells), kind) for _ in range(chunks)], kind))
        fields.append(
            pa.field(f"column {number}", kind, metadata=draw(st.sampled_from([None, {"unit": "m"}])))
        )
    metadata = draw(st.sampled_from([None, {"about": "rows"}]))
    return pa.Table.from_arrays(columns, schema=pa.schema(fields, metadata))


@settings(max_examples=40)
@examples(table=tables())
def test_a_table_of_arrow_comes_back_with_its_types_its_cells_and_its_metadata(table: pa.Table) -> None:
    after = given(table).labelled(answers(table.num_rows))
    assert after.select(table.column_names).equals(table, check_metadata=True)
    assert after.column_names == [*table.column_names, *NEW["single"]]


def test_a_batch_comes_back_as_a_batch() -> None:
    batch = pa.record_batch({"n": pa.array([1, None], pa.int8())})
    after = given(batch).labelled(answers(2))
    assert isinstance(after, pa.RecordBatch)
    assert after.column("n").equals(batch.column("n"))
    empty = given(batch.slice(0, 0)).labelled(answers(0))
    assert (empty.num_rows, empty.num_columns) == (0, 1 + len(NEW["single"]))


def test_what_gives_an_arrow_stream_comes_back_as_a_table() -> None:
    reader = pa.table({"n": [1, 2]}).to_reader()
    assert given(reader).labelled(answers(2)).column("n").to_pylist() == [1, 2]


@pytest.mark.parametrize("library", ["polars", "pandas", "arrow"])
def test_labels_of_an_earlier_call_are_replaced(library: str) -> None:
    frame: Any = {
        "polars": lambda: pl.DataFrame({"n": [1, 2]}),
        "pandas": lambda: pd.DataFrame({"n": [1, 2]}),
        "arrow": lambda: pa.table({"n": [1, 2]}),
    }[library]()
    twice = given(given(frame).labelled(answers(2))).labelled(answers(2))
    assert list(given(twice).names) == ["n", *NEW["single"]]


def test_a_missing_value_of_pandas_is_a_null() -> None:
    frame = pd.DataFrame({"a": ["x", np.nan, None, pd.NA], "b": [1.5, np.nan, 2, 3]}, dtype=object)
    assert [given(frame).column(name).null_count for name in "ab"] == [3, 1]


def test_a_series_comes_back_as_its_labels() -> None:
    labels = given(pl.Series("title", ["a", None])).labelled(answers(2))
    assert (labels.name, labels.to_list()) == ("label", [None, "x"])
    index = [datetime(2026, 1, day, tzinfo=UTC) for day in (2, 1)]
    series = given(pd.Series(["a", None], index=index)).labelled(answers(2))
    assert (series.name, list(series.index), list(series.isna())) == ("label", index, [True, False])


@pytest.mark.parametrize("texts", [["a", None], ("a", None), []])
def test_a_list_comes_back_as_a_list_of_labels(texts: Any) -> None:
    assert given(texts).labelled(answers(len(texts))) == [None, "x"][: len(texts)]
    assert given(texts).column("text").to_pylist() == list(texts)


@pytest.mark.parametrize("nothing", ["a text", {"a": 1}, {"a"}, None, 7, iter(["a"]), np.array(["a"]), b"a"])
def test_what_is_no_table_is_refused(nothing: Any) -> None:
    with pytest.raises(
        UsageError, match=f"frame: is of type {type(nothing).__name__}; (put it|give a frame)"
    ):
        given(nothing)


def test_a_list_of_something_else_is_refused_with_its_place() -> None:
    with pytest.raises(InputDataError, match=r"frame: \[1\] is of type dict; give a list of texts"):
        given(["a", {"text": "b"}]).column("text")


def test_names_of_several_levels_are_refused() -> None:
    frame = pd.DataFrame({("a", "b"): [1]})
    with pytest.raises(InputDataError, match="names of several levels"):
        given(frame)
