"""A Delta table as output: rows that changed are appended, once."""

from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from tests.delta.tables import delete_by_vector, table, written
from tests.faultserver.server import FaultServer
from tests.jobs import JobFiles, asked, command, last_line, right_label, texts


@pytest.fixture
def lake(job: JobFiles) -> Path:
    """A table with 20 rows, of which three were deleted; the job reads it, and appends labels to another."""
    folder = job.folder / "lake"
    written(folder, table(texts(20)), partition_by="half").delete("id IN (3, 4, 5)")
    job.set(
        input={"path": "lake"},
        output={"path": "labels", "format": "delta", "columns": {"only": ["id", "half"]}},
    )
    return folder


def rows(job: JobFiles) -> pl.DataFrame:
    """All rows of the table of labels, as polars reads them."""
    return pl.read_delta(str(job.folder / "labels"))


def current(job: JobFiles, *columns: str) -> list[tuple[Any, ...]]:
    """The rows that count: those of each key's latest batch."""
    frame = rows(job)
    return frame.filter(pl.col("label_batch") == pl.col("label_batch").max().over("id")).sort("id").select(columns).rows()  # fmt: skip


def version(job: JobFiles) -> int:
    return int(DeltaTable(job.folder / "labels").version())


def expected(ids: list[int], said: dict[int, str] | None = None) -> list[tuple[int, str]]:
    known = {**dict(enumerate(texts(200))), **(said or {})}
    return [(n, right_label(known[n])) for n in ids]


def rows_of(lake: Path) -> list[int]:
    return sorted(pl.DataFrame(pa.RecordBatchReader.from_stream(DeltaTable(lake).scan()).read_all())["id"])


ALIVE = [n for n in range(20) if n not in {3, 4, 5}]


def test_keys_labels_and_run_are_appended_and_nothing_else(job: JobFiles, lake: Path) -> None:
    done = job.run()
    assert done.returncode == 0, done.stderr
    found = rows(job)
    assert found.columns[:3] == ["id", "half", "label"]
    assert {"label_status", "label_run", "cost_usd", "label_batch"} < set(found.columns)
    assert "text" not in found.columns
    assert current(job, "id", "label") == expected(ALIVE)
    assert current(job, "half") == [(n % 2,) for n in ALIVE]
    assert set(found["label_run"]) == {last_line(done)["run_id"]}
    assert lake.exists()


@pytest.mark.slow
def test_nothing_is_appended_where_nothing_changed(job: JobFiles, lake: Path, server: FaultServer) -> None:
    assert job.run().returncode == 0
    assert last_line(job.run())["requests"] == 0
    DeltaTable(lake).optimize.z_order(["text"])  # other files, another order
    assert "has all rows already" in job.run().stderr
    DeltaTable(job.folder / "labels").optimize.z_order(["label"])
    before = version(job)
    assert "has all rows already" in job.run().stderr
    assert (version(job), rows(job).height, len(asked(server))) == (before, 17, 17)


@pytest.mark.slow
def test_the_next_night_appends_what_is_new_and_what_is_other(
    job: JobFiles, lake: Path, server: FaultServer
) -> None:
    assert job.run().returncode == 0
    written(lake, table(texts(2, start=100), start=100), mode="append")
    DeltaTable(lake).update({"text": "'another text'"}, predicate="id = 7")
    assert job.run().returncode == 0
    assert rows(job).filter(pl.col("label_batch") == 2)["id"].sort().to_list() == [7, 100, 101]
    assert current(job, "id", "label") == expected([*ALIVE, 100, 101], {7: "another text"})
    assert len(asked(server)) == 20


@pytest.mark.slow
def test_a_text_that_is_again_what_it_was_has_its_old_label_again(
    job: JobFiles, lake: Path, server: FaultServer
) -> None:
    assert job.run().returncode == 0
    first = current(job, "id", "label")
    was = texts(20)[7].replace("'", "''")
    for text in ("another text", was):
        DeltaTable(lake).update({"text": f"'{text}'"}, predicate="id = 7")
        assert job.run().returncode == 0
    assert rows(job).filter(id=7).sort("label_batch")["label_batch"].to_list() == [1, 2, 3]
    assert current(job, "id", "label") == first
    assert len(asked(server)) == 18
    DeltaTable(lake).optimize.z_order(["text"])
    assert "has all rows already" in job.run().stderr


@pytest.mark.slow
def test_rows_that_share_a_key_are_appended_together_and_no_more_than_once(job: JobFiles, lake: Path) -> None:
    written(lake, table(["one", "two"], start=50).set_column(0, "id", pa.array([7, 7])), mode="append")
    done = job.run()
    assert "share their id and half" in done.stderr
    assert job.run().returncode == 0
    assert len(current(job, "id")) == 19
    before = version(job)
    DeltaTable(lake).optimize.compact()
    assert job.run().returncode == 0
    assert version(job) == before
    DeltaTable(lake).update({"text": "'three'"}, predicate="text = 'two'")
    assert job.run().returncode == 0
    newest = rows(job).filter(label_batch=2)
    assert newest.select("id", "half").rows() == [(7, 1)] * 2
    assert sorted(newest["label"]) == sorted(map(right_label, ["three", texts(20)[7]]))


@pytest.mark.slow
def test_other_rows_and_files_of_the_table_stay(job: JobFiles, lake: Path) -> None:
    assert job.run().returncode == 0
    labels = DeltaTable(job.folder / "labels")
    labels.delete("id = 0")
    assert job.run().returncode == 0
    assert current(job, "id", "label") == expected(ALIVE)
    assert rows(job).height == 17
    assert lake.exists()


@pytest.mark.slow
def test_a_new_column_is_null_in_the_rows_that_were_there(job: JobFiles, lake: Path) -> None:
    assert job.run().returncode == 0
    job.set(output={"columns": {"only": ["id", "half", "text"]}})
    assert job.run().returncode == 0
    assert rows(job)["label_batch"].value_counts().sort("label_batch")["count"].to_list() == [17, 17]
    assert rows(job).filter(label_batch=1)["text"].null_count() == 17
    assert current(job, "text") == [(texts(20)[n],) for n in ALIVE]
    assert lake.exists()


@pytest.mark.slow
def test_duckdb_finds_the_latest_labels(job: JobFiles, lake: Path) -> None:
    assert job.run().returncode == 0
    DeltaTable(lake).update({"text": "'another text'"}, predicate="id = 7")
    assert job.run().returncode == 0
    labels = DeltaTable(job.folder / "labels").to_pyarrow_dataset()  # noqa: F841 - DuckDB sees it
    said = """
        SELECT id, label FROM labels
        QUALIFY label_batch = max(label_batch) OVER (PARTITION BY id) ORDER BY id
    """
    assert duckdb.sql(said).fetchall() == expected(ALIVE, {7: "another text"})


@pytest.mark.slow
def test_a_file_as_input_has_its_labels_in_a_table_too(job: JobFiles) -> None:
    job.table(pl.DataFrame({"id": ["a", "b"], "text": texts(2)}))
    job.set(output={"path": "labels", "format": "delta", "columns": {"only": ["id"]}}, task={"kind": "multi"})
    with FaultServer(label_for=lambda text: [right_label(text)]) as server:
        job.set(model={"base_url": server.base_url})
        for night in range(2):
            assert job.run().returncode == 0
            assert rows(job).select("id", "labels").rows() == [
                (name, [right_label(text)]) for name, text in zip("ab", texts(2), strict=True)
            ]
            job.table(pl.DataFrame({"id": ["a", "b"], "text": texts(2), "night": [night] * 2}))


@pytest.mark.slow
def test_some_rows_go_to_a_file_beside_the_table(job: JobFiles, lake: Path) -> None:
    done = job.run("--limit", "5")
    assert done.returncode == 0, done.stderr
    assert pl.read_parquet(job.folder / "labels.limit-5.parquet").height == 5
    assert not (job.folder / "labels").exists()
    assert lake.exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("there", "words"),
    [
        ({"id": [1]}, "without the column label_batch"),
        ({"id": ["text"], "label_batch": [1]}, "'id' is string"),
    ],
)
def test_a_table_of_something_else_is_refused_before_anything_is_asked(
    job: JobFiles, lake: Path, server: FaultServer, there: dict[str, list[Any]], words: str
) -> None:
    write_deltalake(job.folder / "labels", pa.table(there))
    done = job.run()
    assert (done.returncode, words in done.stderr) == (73, True), done.stderr
    assert not asked(server)
    assert lake.exists()


@pytest.mark.slow
def test_what_a_run_left_that_was_killed_before_the_first_commit_is_in_nobodys_way(
    job: JobFiles, lake: Path
) -> None:
    log = job.folder / "labels" / "_delta_log"
    log.mkdir(parents=True)
    (log / "_commit_0f.json.tmp").touch()
    (log.parent / "part-1.parquet#1").write_bytes(b"half of a fi")
    pa.parquet.write_table(pa.table({"id": [1], "label_batch": [1]}), log.parent / "part-0.parquet")
    done = job.run()
    assert done.returncode == 0, done.stderr
    assert current(job, "id", "label") == expected(ALIVE)
    assert lake.exists()


@pytest.mark.parametrize("name", ["mine.txt", "part-0.parquet"])
def test_a_folder_of_something_else_is_refused(job: JobFiles, lake: Path, name: str) -> None:
    (job.folder / "labels").mkdir()
    pa.parquet.write_table(pa.table({"id": [1]}), job.folder / "labels" / name)
    done = job.run("--overwrite")
    assert (done.returncode, "is no Delta table" in done.stderr) == (73, True)
    assert lake.exists()


@pytest.mark.slow
def test_a_table_is_never_replaced_by_files(job: JobFiles, lake: Path) -> None:
    assert job.run().returncode == 0
    job.set(output={"format": "parquet"})
    done = job.run("--overwrite")
    assert (done.returncode, "is a Delta table" in done.stderr) == (73, True), done.stderr
    assert lake.exists()


def test_the_folder_of_a_table_may_be_called_delta(job: JobFiles) -> None:
    for source in ("in.parquet", "s3://bucket/lake.delta"):
        job.set(
            input={"path": source}, output={"path": "x.delta", "format": "delta", "columns": {"only": ["id"]}}
        )
        assert job.config().output.is_table
    job.set(output={"format": "parquet"})
    assert not job.config().output.is_table


def test_a_table_needs_keys_and_types_that_delta_has(job: JobFiles) -> None:
    job.table(pl.DataFrame({"id": pl.Series([1, 2**63], dtype=pl.UInt64), "text": texts(2)}))
    job.set(output={"path": "labels", "format": "delta"})
    done = job.run()
    assert (done.returncode, "output.columns.only" in done.stderr) == (78, True), done.stderr
    job.set(output={"columns": {"only": ["id"]}})
    done = job.run()
    assert (done.returncode, "uint64" in done.stderr) == (65, True), done.stderr


@pytest.mark.slow
def test_a_closed_gate_keeps_rows_from_the_table(job: JobFiles, lake: Path, server: FaultServer) -> None:
    job.set(gates={"invalid": "1%"}, limits={"max_failed": "100%"})
    server.when(lambda _: True, "unknown_label")
    done = job.run()
    assert done.returncode == 76, done.stderr
    assert not (job.folder / "labels").exists()
    written(lake, table(["x"], start=100), mode="append")
    published = command("publish", str(job.config_file()), "--anyway")
    assert published.returncode == 0, published.stderr
    assert rows(job)["id"].sort().to_list() == ALIVE  # of the version that was held back
    assert job.run().returncode == 76


@pytest.mark.slow
def test_the_night_after_a_closed_gate_reads_the_newest_version(
    job: JobFiles, lake: Path, server: FaultServer
) -> None:
    job.set(gates={"invalid": "1%"}, limits={"max_failed": "100%"})
    server.when(lambda text: "row 7 " in text, "unknown_label")
    assert job.run().returncode == 76
    DeltaTable(lake).delete("id = 7")
    assert job.run().returncode == 0
    assert rows(job).height == 16


@pytest.mark.slow
def test_workers_and_slices_read_and_append_as_one_process_does(job: JobFiles, lake: Path) -> None:
    delete_by_vector(lake, [0])
    alive = rows_of(lake)
    done = job.spawn("--workers", "2")
    assert done.returncode == 0, done.stderr
    assert sorted(rows(job)["id"]) == alive
    job.set(state={"dir": "sliced"}, output={"path": "more_labels"})
    for part in ("0/2", "1/2"):
        assert job.run("--slice", part).returncode == 0
        written(lake, table([f"new {part}"], start=200), mode="append")
    job.set(input={"version": 2})
    assembled = command("assemble", str(job.config_file()))
    assert assembled.returncode == 0, assembled.stderr
    found = pl.read_delta(str(job.folder / "more_labels"))
    assert sorted(found["id"]) == alive


@pytest.mark.slow
def test_a_partial_output_is_a_file_of_the_version_that_is_being_labelled(job: JobFiles, lake: Path) -> None:
    job.set(model={"price": {"input": 1e6, "output": 1e6}})
    job.set(limits={"max_concurrency": 1, "max_cost_usd": 1000})
    assert job.run().returncode == 75
    written(lake, table(["new"], start=200), mode="append")
    partial = command("publish", str(job.config_file()), "--partial")
    assert partial.returncode == 0, partial.stderr
    (found,) = job.folder.glob("labels.partial*")
    frame = pl.read_parquet(f"{found}/*.parquet" if found.is_dir() else found)
    assert frame["id"].sort().to_list() == ALIVE
    assert "pending" in set(frame["label_status"])
