"""The rows that match are an input of their own: counted once, read as if there were no others."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.config import InputSettings
from pipeline.errors import InputDataError
from pipeline.inputs.read import read_batches, read_chunks
from pipeline.inputs.source import all_spans
from pipeline.inputs.survey import survey
from pipeline.inputs.where.matching import matching_rows
from pipeline.records import Span


@pytest.fixture
def put(tmp_path):
    """A folder of two files with several row groups each."""

    def put(matches, first=7, group=5):
        rows = pa.table(
            {
                "n": pa.array(range(len(matches)), pa.int64()),
                "text": [f"row {n}" for n in range(len(matches))],
                "take": pa.array(matches, pa.bool_()),
                "view": pa.array([f"view {n}" for n in range(len(matches))], pa.string_view()),
            }
        )
        (tmp_path / "in").mkdir(exist_ok=True)
        pq.write_table(rows.slice(0, first), tmp_path / "in" / "a.parquet", row_group_size=group)
        pq.write_table(rows.slice(first), tmp_path / "in" / "b.parquet", row_group_size=group)
        return survey(InputSettings(path=str(tmp_path / "in")), ["text"], copies=tmp_path / "copies")

    return put


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    matches=st.lists(st.sampled_from([True, False, None]), max_size=40),
    first=st.integers(0, 20),
    group=st.integers(1, 9),
    max_rows=st.integers(1, 9),
)
def test_the_rows_that_match_are_read_in_order_under_numbers_of_their_own(
    put, tmp_path, matches, first, group, max_rows
):
    whole = put(matches, first, group)
    source = matching_rows(whole, "take", tmp_path / "matching.json", tmp_path / "copies")
    wanted = [n for n, matches in enumerate(matches) if matches]
    assert (source.rows, [file.rows for file in source.files]) == (
        len(wanted),
        [sum(n < first for n in wanted), sum(n >= first for n in wanted)],
    )
    chunks = list(read_chunks(source, ["text"], all_spans(source), max_rows=max_rows))
    assert [cell for chunk in chunks for cell in chunk.columns["text"]] == [f"row {n}" for n in wanted]
    firsts = [chunk.span.start for chunk in chunks]
    assert firsts == [sum(chunk.span.rows for chunk in chunks[:index]) for index in range(len(chunks))]
    batches = [batch for file in source.files for batch in read_batches(source, file)]
    assert [n for batch in batches for n in batch.column("n").to_pylist()] == wanted
    assert [cell for batch in batches for cell in batch.column("view").to_pylist()] == [
        f"view {n}" for n in wanted
    ]


def test_any_of_the_rows_that_match_can_be_read_alone(put, tmp_path):
    source = matching_rows(
        put([n % 3 == 0 for n in range(30)]), "take", tmp_path / "matching.json", tmp_path / "copies"
    )
    for row in range(source.rows):
        (chunk,) = read_chunks(source, ["n"], [Span(row, row + 1)])
        assert chunk.columns["n"] == [str(3 * row)]


def test_rows_are_counted_once_for_an_input_and_a_condition(put, tmp_path):
    whole, kept = put([True, False] * 10), tmp_path / "state" / "matching.json"
    assert matching_rows(whole, "take", kept, tmp_path).rows == 10
    found = json.loads(kept.read_bytes())
    assert sum(map(sum, found["counts"])) == 10
    # Counts that are not those of the files show that they were not made again.
    kept.write_text(json.dumps({**found, "counts": [[0] * len(each) for each in found["counts"]]}))
    assert matching_rows(whole, "take", kept, tmp_path).rows == 0
    assert matching_rows(whole, "not take", kept, tmp_path).rows == 10
    kept.write_text("{")
    assert matching_rows(whole, "take", kept, tmp_path).rows == 10


def test_other_rows_are_another_input(put, tmp_path):
    whole = put([True, False] * 10)
    conditions = ("take", "not take", "n > 3")
    found = {
        matching_rows(whole, each, tmp_path / "matching.json", tmp_path / "copies").fingerprint
        for each in conditions
    }
    assert len({*found, whole.fingerprint}) == 4


def test_a_cell_for_which_the_condition_cannot_be_computed_is_found_before_any_row_is_asked(put, tmp_path):
    with pytest.raises(InputDataError, match=r"a\.parquet: input\.where: .*\"row 0\".*; try_cast"):
        matching_rows(
            put([True] * 10), "cast(text as int) > 1", tmp_path / "matching.json", tmp_path / "copies"
        )
