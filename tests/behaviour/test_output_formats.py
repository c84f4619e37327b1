"""The output as CSV or JSON Lines: the same rows as in Parquet, published the same way, and known as ours."""

import csv
import gzip
import json
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.job.workspace import Workspace
from tests.faultserver.server import FaultServer
from tests.jobs import LABELS, JobFiles, asked, command, last_line, right_label, run_job, texts

FORMATS = ["csv", "csv.gz", "jsonl", "jsonl.gz"]


def rows_of(path: Path) -> list[dict[str, object]]:
    """The rows of an output of any format, labels among them as text or as JSON has them."""
    if path.suffix == ".parquet":
        return pl.read_parquet(path).to_dicts()
    content = path.read_bytes()
    text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode()
    if ".csv" in path.name:
        return list(csv.DictReader(text.splitlines(keepends=True), strict=True))
    return [json.loads(line) for line in text.split("\n")[:-1]]


def labels_of(path: Path) -> list[object]:
    return [row["label"] for row in rows_of(path)]


@pytest.mark.parametrize("form", FORMATS)
async def test_the_suffix_of_the_output_says_its_format(
    job: JobFiles, server: FaultServer, form: str
) -> None:
    job.table(texts(30))
    await run_job(job.config())
    expected = job.labelled().to_dicts()
    job.set(output={"path": f"out/labelled.{form}"})
    result = await run_job(job.config())
    assert (result.output, result.requests) == (str(job.output), 0)
    rows = rows_of(job.output)
    assert list(rows[0]) == list(expected[0])
    assert [row["label"] for row in rows] == [right_label(text) for text in texts(30)]
    assert [row["text"] for row in rows] == texts(30)
    if "json" in form:
        skipped = {"label_run", "label_source", "label_confidence"}
        for row, usual in zip(rows, expected, strict=True):
            assert {k: v for k, v in row.items() if k not in skipped} == {
                k: v for k, v in usual.items() if k not in skipped
            }
    assert len(asked(server)) == 30


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_several_labels_are_a_list(job: JobFiles, form: str) -> None:
    job.table([*texts(9), None])
    job.set(task={"kind": "multi"}, output={"path": f"out/labelled.{form}"}, simulate={"latency": 0})
    assert job.run("--quiet", "--provider", "simulate").returncode == 0
    found = [row["labels"] for row in rows_of(job.output.with_name(f"labelled.simulated.{form}"))]
    lists = [json.loads(str(each)) if each else None for each in found] if form == "csv" else found
    assert lists.pop() is None
    assert all(isinstance(each, list) and set(each) <= set(LABELS) for each in lists)
    assert any(lists)


@pytest.mark.parametrize("form", FORMATS)
async def test_the_files_of_a_folder_have_the_format_that_is_set(job: JobFiles, form: str) -> None:
    (job.folder / "in").mkdir()
    for name in ("a", "b"):
        pq.write_table(pa.table({"text": texts(5)}), job.folder / "in" / f"{name}.parquet")
    job.set(input={"path": "in"}, output={"path": "out", "format": form})
    await run_job(job.config())
    assert sorted(path.name for path in job.output.iterdir()) == [f"a.{form}", f"b.{form}"]
    assert labels_of(job.output / f"b.{form}") == [right_label(text) for text in texts(5)]


async def test_another_format_of_a_folder_is_another_output_for_nothing(job: JobFiles) -> None:
    (job.folder / "in").mkdir()
    pq.write_table(pa.table({"text": texts(5)}), job.folder / "in" / "a.parquet")
    job.set(input={"path": "in"}, output={"path": "out"})
    for form in ("csv", None, "jsonl", "csv"):
        job.set(output={"format": form})
        result = await run_job(job.config())
        assert (result.again, result.rows) == (False, 5)
        assert [path.name for path in job.output.iterdir()] == [f"a.{form or 'parquet'}"]
    assert (await run_job(job.config())).again


@pytest.mark.parametrize("form", FORMATS)
def test_an_output_that_we_wrote_is_replaced_and_one_that_was_changed_since_is_not(
    job: JobFiles, server: FaultServer, form: str
) -> None:
    job.set(output={"path": f"out/labelled.{form}"})
    for night in range(3):
        job.table(texts(5 + night))
        assert job.run("--quiet").returncode == 0
        assert len(rows_of(job.output)) == 5 + night
    job.output.touch()  # a copy from a backup has another time and the same content
    job.table(texts(9))
    assert job.run("--quiet").returncode == 0

    content = job.output.read_bytes() + b"\n"
    job.output.write_bytes(content)
    job.table(texts(10))
    done = job.run("--quiet")
    assert done.returncode == 73
    assert "is there already and is not ours, or was changed since" in done.stderr
    assert command("check", str(job.config_file())).returncode == 73
    assert job.output.read_bytes() == content
    assert len(asked(server)) == 9
    assert job.run("--quiet", "--overwrite").returncode == 0
    assert len(rows_of(job.output)) == 10


def test_a_file_of_another_program_is_not_replaced(job: JobFiles, server: FaultServer) -> None:
    job.table(texts(5))
    job.set(output={"path": "out.csv"})
    job.output.write_text("a,b\n1,2\n")
    done = job.run("--quiet")
    assert (done.returncode, "is not ours" in done.stderr) == (73, True)
    assert server.entries == []


def test_an_output_is_ours_though_the_run_was_killed_right_after_it_appeared(
    job: JobFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    job.table(texts(5))
    job.set(output={"path": "out.csv"})
    assert job.run("--quiet").returncode == 0
    job.table(texts(6))
    saved = Workspace.save

    def save(self: Workspace, record: object) -> None:
        if getattr(record, "status", "") == "published":
            raise KeyboardInterrupt
        saved(self, record)  # type: ignore[arg-type]

    monkeypatch.setattr(Workspace, "save", save)
    assert job.run("--quiet").returncode != 0
    assert len(rows_of(job.output)) == 6
    monkeypatch.undo()
    assert job.run("--quiet").returncode == 0


def test_selections_and_rehearsals_are_named_before_the_whole_suffix(job: JobFiles) -> None:
    job.table(texts(9))
    job.set(output={"path": "out/labelled.csv.gz"}, simulate={"latency": 0})
    assert last_line(job.run("--limit", "4", "--quiet"))["output"].endswith("/out/labelled.limit-4.csv.gz")
    done = job.run("--sample", "4", "--quiet", "--provider", "simulate")
    assert last_line(done)["output"].endswith("/out/labelled.simulated.sample-4-0.csv.gz")
    assert len(rows_of(job.folder / "out/labelled.simulated.sample-4-0.csv.gz")) == 4


def test_a_selection_from_a_folder_is_a_file_of_the_folders_format(job: JobFiles) -> None:
    (job.folder / "in").mkdir()
    pq.write_table(pa.table({"text": texts(5)}), job.folder / "in" / "a.parquet")
    job.set(input={"path": "in"}, output={"path": "out", "format": "csv"})
    assert last_line(job.run("--limit", "4", "--quiet"))["output"].endswith("/out.limit-4.csv")
    assert len(rows_of(job.folder / "out.limit-4.csv")) == 4


def test_guarded_cells_are_told_once(job: JobFiles) -> None:
    (job.folder / "in").mkdir()
    for name in ("a", "b"):
        pq.write_table(pa.table({"text": ["=1+1", "x"]}), job.folder / "in" / f"{name}.parquet")
    job.set(input={"path": "in"}, output={"path": "out", "format": "csv"})
    done = job.run()
    assert done.returncode == 0
    assert done.stderr.count("have an apostrophe before them") == 1
    assert [row["text"] for row in rows_of(job.output / "a.csv")] == ["'=1+1", "x"]


def test_a_column_that_has_no_place_in_the_format_is_found_before_anything_is_asked(
    job: JobFiles, server: FaultServer
) -> None:
    pq.write_table(
        pa.table({"text": texts(2), "raw": pa.array([[b"x"], None], pa.list_(pa.binary()))}),
        job.folder / "in.parquet",
    )
    job.set(output={"path": "out.csv"})
    done = job.run("--quiet")
    assert done.returncode == 65
    assert "column 'raw' can be read and not written as csv (there is no JSON for binary" in done.stderr
    assert server.entries == []
    job.set(output={"columns": {"only": ["text"]}})
    assert job.run("--quiet").returncode == 0


@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        (
            {"path": "out.xlsx"},
            "has no format that is known; let it end in .parquet, .csv, .csv.gz, .jsonl or .jsonl.gz",
        ),
        ({"path": "out"}, "is not the name of a file; let it end in .parquet, .csv"),
        ({"path": "out", "format": "csv"}, "is not the name of a file; let it end in .parquet, .csv"),
        (
            {"path": "out.csv", "format": "jsonl"},
            "is not what output.path ends in; it is for folders, leave it out",
        ),
        (
            {"path": "out", "format": "xlsx"},
            "is not known; write one of parquet, csv, csv.gz, jsonl, jsonl.gz",
        ),
    ],
)
def test_an_output_whose_format_is_unclear_is_refused(job: JobFiles, output: dict, sentence: str) -> None:
    job.table(texts(2))
    job.set(output=output)
    done = job.run("--quiet")
    assert (done.returncode, sentence in done.stderr) == (78, True), done.stderr
