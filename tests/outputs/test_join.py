"""The join: every row of the input meets its own labels, however input and parts are cut."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import accumulate, pairwise

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.outputs.join import InputRows
from pipeline.outputs.publish import publish
from pipeline.outputs.tally import Tally
from pipeline.records import Span
from tests.answers import part
from tests.outputs.publish_job import PublishJob


@given(
    rows=st.integers(1, 60),
    cuts=st.lists(st.integers(1, 60), max_size=5),
    batch_rows=st.integers(1, 70),
)
@settings(max_examples=25)
def test_every_row_meets_its_own_part_however_both_are_cut(
    tmp_path_factory: pytest.TempPathFactory, rows: int, cuts: list[int], batch_rows: int
) -> None:
    job = PublishJob(tmp_path_factory.mktemp("job"), rows, cuts, batch_rows)
    job.parts.write(job.spans[0], part([None, *range(1, job.spans[0].stop)]))  # row 0 differs from all
    tally = job.publish()
    read = pq.read_table(job.path)
    assert read.select(["n", "text"]).equals(job.table)
    assert read.column("label_status").to_pylist() == ["empty", *["ok"] * (rows - 1)]
    assert tally.rows == rows


@given(
    kind=st.sampled_from(["single", "multi"]),
    numbers=st.lists(st.none() | st.integers(0, 9), min_size=1, max_size=60),
    cuts=st.lists(st.integers(1, 60), max_size=5),
    batch_rows=st.integers(1, 70),
    group_rows=st.integers(1, 30),
)
@settings(max_examples=40)
def test_every_row_of_every_row_group_has_its_labels_and_is_counted(
    tmp_path_factory: pytest.TempPathFactory,
    kind: str,
    numbers: list[int | None],
    cuts: list[int],
    batch_rows: int,
    group_rows: int,
) -> None:
    job = PublishJob(tmp_path_factory.mktemp("job"), len(numbers), cuts, batch_rows, kind)
    for span in job.spans:
        job.parts.write(span, part(numbers[span.start : span.stop], kind))
    tally = job.publish(row_group_rows=group_rows)
    read = pq.read_table(job.path)
    firsts = {number: row for row, number in reversed(list(enumerate(numbers))) if number is not None}
    sources = [
        "none" if number is None else "model" if firsts[number] == row else "duplicate"
        for row, number in enumerate(numbers)
    ]
    label = "games" if kind == "single" else ["games"]
    assert read.select(["n", "text"]).equals(job.table)
    assert read.column("label" if kind == "single" else "labels").to_pylist() == [
        None if number is None else label for number in numbers
    ]
    assert read.column("label_source").to_pylist() == sources
    assert read.column("prompt_tokens").to_pylist() == [100 * (source == "model") for source in sources]
    assert pq.read_metadata(job.path).num_row_groups > len(numbers) // (group_rows + 70)
    assert (tally.rows, tally.duplicates) == (len(numbers), sources.count("duplicate"))
    assert tally.prompt_tokens == 100 * sources.count("model")
    assert tally.labels["games"] == len(numbers) - sources.count("none")


@given(
    sizes=st.lists(st.integers(0, 20), min_size=1, max_size=8),
    cuts=st.lists(st.integers(1, 100), max_size=5),
    batch_rows=st.integers(1, 30),
)
@settings(max_examples=25)
def test_every_file_has_its_own_rows_however_many_share_a_part_or_have_several(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], cuts: list[int], batch_rows: int
) -> None:
    edges = [0, *accumulate(sizes)]
    job = PublishJob(tmp_path_factory.mktemp("job"), edges[-1], cuts)
    for span in job.spans:
        job.parts.write(span, part([n if n % 3 else None for n in range(span.start, span.stop)]))
    files = [
        replace(
            job.output_file(f"{number:02}.parquet"),
            opened=partial(opened, job.table.slice(start, stop - start), batch_rows),
            span=Span(start, stop),
        )
        for number, (start, stop) in enumerate(pairwise(edges))
    ]
    tally = Tally("run-1")
    publication = replace(job.publication(), files=files, single=False)
    publish(publication, job.parts, tally, ensure_running=lambda: None)
    for file, path in zip(files, sorted(job.path.iterdir()), strict=True):
        read = pq.read_table(path).to_pydict()
        rows = range(file.span.start, file.span.stop)
        assert read["n"] == list(rows)
        assert read["label_status"] == ["ok" if n % 3 else "empty" for n in rows]
    assert tally.rows == edges[-1]


@contextmanager
def opened(table: pa.Table, batch_rows: int) -> Iterator[InputRows]:
    yield InputRows(iter(table.to_batches(max_chunksize=batch_rows)))


@given(
    matches=st.lists(st.booleans(), min_size=1, max_size=60),
    numbers=st.lists(st.none() | st.integers(0, 9), min_size=60, max_size=60),
    cuts=st.lists(st.integers(1, 60), max_size=5),
    batch_rows=st.integers(1, 70),
    group_rows=st.integers(1, 30),
)
@settings(max_examples=40)
def test_rows_that_have_none_in_the_parts_are_skipped_and_move_no_other_one(
    tmp_path_factory: pytest.TempPathFactory,
    matches: list[bool],
    numbers: list[int | None],
    cuts: list[int],
    batch_rows: int,
    group_rows: int,
) -> None:
    numbers = numbers[: sum(matches)]
    job = PublishJob(tmp_path_factory.mktemp("job"), len(numbers), cuts, batch_rows)
    for span in job.spans:
        job.parts.write(span, part(numbers[span.start : span.stop]))
    job.table = pa.table({"n": range(len(matches)), "text": [f"row {n}" for n in range(len(matches))]})
    wanted = pa.array(matches)
    file = replace(
        job.output_file(),
        matching=lambda batch: wanted.take(batch.column("n")),
        span=Span(0, len(numbers)),
    )
    tally = Tally("run-1")
    parts = job.spans if numbers else []
    publication = replace(
        job.publication(), files=[file], parts=parts, rows=len(numbers), row_group_rows=group_rows
    )
    publish(publication, job.parts, tally, ensure_running=lambda: None)
    read = pq.read_table(job.path)
    assert read.select(["n", "text"]).equals(job.table)
    left = iter(numbers)
    found = [next(left) if each else "skipped" for each in matches]
    statuses = ["skipped" if each == "skipped" else "empty" if each is None else "ok" for each in found]
    assert read.column("label_status").to_pylist() == statuses
    seen: set[object] = set()
    for source, each in zip(read.column("label_source").to_pylist(), found, strict=True):
        is_asked = each is not None and each != "skipped"
        assert source == ("none" if not is_asked else "duplicate" if each in seen else "model")
        seen.add(each)
    assert (tally.rows, tally.failed, tally.statuses["skipped"]) == (len(numbers), 0, matches.count(False))
