"""What the output cannot hold is found before the first request: columns that cannot be written, types that are lost."""

import logging
from collections.abc import Callable

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import InputDataError
from pipeline.job.options import RunOptions
from pipeline.job.prepare import prepare
from tests import foreign_parquet
from tests.faultserver.server import FaultServer
from tests.jobs import JobFiles, command, last_line, run_job

UNWRITABLE = {"none": foreign_parquet.required_nulls, "empty": foreign_parquet.empty_groups}
OPTIONS = {"all rows": RunOptions(), "a limit": RunOptions(limit=1), "a sample": RunOptions(sample=1)}


def give(job: JobFiles, content: bytes) -> None:
    (job.folder / "in.parquet").write_bytes(content)


@pytest.mark.parametrize("rows", OPTIONS)
@pytest.mark.parametrize("column", UNWRITABLE)
def test_a_column_that_cannot_be_written_is_named_and_can_be_left_out(
    job: JobFiles, column: str, rows: str
) -> None:
    give(job, UNWRITABLE[column]())
    with pytest.raises(InputDataError) as caught:
        prepare(job.config(), OPTIONS[rows])
    (problem,) = caught.value.problems
    assert f"column {column!r} can be read and not written" in problem
    assert "output.columns.only" in problem
    job.set(output={"columns": {"only": ["text"]}})
    assert prepare(job.config(), OPTIONS[rows]).kept_columns() == ["text"]


def test_nothing_is_asked_about_a_table_that_cannot_be_written(job: JobFiles, server: FaultServer) -> None:
    give(job, foreign_parquet.empty_groups())
    assert job.run().returncode == 65
    assert job.run("--limit", "1").returncode == 65
    assert server.requests == 0


LOST: dict[str, tuple[Callable[[], bytes], str]] = {
    "enum": (foreign_parquet.enums, "column 'kind': Enum becomes String in the output"),
    "interval": (foreign_parquet.intervals, "column 'span': Interval becomes FIXED_LEN_BYTE_ARRAY in the output"),
    "variant": (foreign_parquet.variants, "column 'var': VARIANT becomes a plain group of its members in the output"),
}  # fmt: skip


@pytest.mark.parametrize("kind", LOST)
async def test_a_type_that_the_output_cannot_keep_is_told_once(
    job: JobFiles, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    content, remark = LOST[kind]
    give(job, content())
    assert prepare(job.config()).remarks == (remark,)
    assert prepare(job.config(), RunOptions(limit=1)).remarks == (remark,)
    with caplog.at_level(logging.WARNING):
        await run_job(job.config())
    assert [record.getMessage() for record in caplog.records].count(remark) == 1
    checked = command("check", str(job.config_file()))
    assert f"note: {remark}" in checked.stderr
    assert last_line(checked)["status"] == "ok"


async def test_a_geometry_stays_one(job: JobFiles) -> None:
    give(job, foreign_parquet.geometries())
    assert prepare(job.config()).remarks == ()
    await run_job(job.config())
    assert "area (Geometry(" in str(pq.ParquetFile(job.output).schema)


@pytest.mark.parametrize("in_utc", [True, False])
async def test_times_stay_in_utc_or_local(job: JobFiles, in_utc: bool) -> None:  # noqa: FBT001 - a parameter of the test
    table = pa.table({"text": ["a"], "at": pa.array([1], pa.time64("us"))})
    pq.write_table(table, job.folder / "in.parquet", write_time_adjusted_to_utc=in_utc)
    assert prepare(job.config()).remarks == ()
    await run_job(job.config())
    assert f"at (Time(isAdjustedToUTC={str(in_utc).lower()}," in str(pq.ParquetFile(job.output).schema)


def test_what_arrow_has_no_parquet_type_for_needs_no_remark(job: JobFiles) -> None:
    table = pa.table({"text": ["a"], "span": pa.array([1], pa.duration("s")), "view": pa.array(["b"], pa.string_view()),
        "kind": pa.array(["c"]).dictionary_encode(), "list": [[1]], "map": pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int32()))})  # fmt: skip
    pq.write_table(table, job.folder / "in.parquet")
    assert prepare(job.config()).remarks == ()
