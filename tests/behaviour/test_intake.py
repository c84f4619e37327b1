"""A table that is not Parquet comes in once, whatever command comes first, and no copy of it outlives its job."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.cli import app
from tests.behaviour.test_permissions import COMMON, read_only
from tests.faultserver.server import FaultServer
from tests.jobs import JobFiles, command, environment, last_line, right_label, texts


def copies(job: JobFiles) -> list[str]:
    """The files with what came in, by their suffixes."""
    return sorted(path.suffix for path in job.folder.glob("state/runs/*/input/*"))


def spoil(path: Path) -> None:
    """Put a byte into a file that whoever reads it would refuse, under the stamp of before."""
    times = path.stat()
    path.write_bytes(path.read_bytes().replace(b"row", b"ro\xff"))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


@pytest.mark.parametrize("first", ["check", "plan", "explain"])
def test_what_a_command_before_the_run_took_in_is_not_read_again(job: JobFiles, first: str) -> None:
    job.table(texts(20), "in.csv")
    arguments = [first, str(job.config_file()), *(["0"] if first == "explain" else [])]
    assert command(*arguments).returncode == 0
    assert copies(job) == [".footer", ".parquet"]
    spoil(job.folder / "in.csv")
    assert job.run("--quiet").returncode == 0
    assert job.labelled()["label"].to_list() == [right_label(text) for text in texts(20)]


def test_a_finished_job_keeps_no_copy_and_is_found_finished_without_its_input(job: JobFiles) -> None:
    job.table(texts(20), "in.csv")
    assert job.run("--quiet").returncode == 0
    assert copies(job) == [".footer"]
    spoil(job.folder / "in.csv")
    again = last_line(job.run("--quiet"))
    assert (again["again"], again["rows"]) == (True, 20)


@pytest.mark.parametrize(
    "arguments", [["plan"], ["explain", "3"], ["status"], ["check"], ["plan", "--limit", "2"]]
)
def test_looking_at_a_finished_job_leaves_no_copy(job: JobFiles, arguments: list[str]) -> None:
    job.table(texts(20), "in.csv")
    assert job.run("--quiet").returncode == 0
    name, *more = arguments
    done = command(name, str(job.config_file()), *more)
    assert done.returncode == 0, done.stderr
    assert copies(job) == [".footer"]
    if arguments == ["explain", "3"]:
        assert last_line(done)["text"] == texts(20)[3]


@pytest.mark.parametrize(
    "arguments", [["plan"], ["explain", "3"], ["check"], ["run", "--limit", "2"], ["run", "--sample", "2"]]
)
def test_rows_that_match_are_not_counted_again_from_a_copy_that_the_finished_job_dropped(
    job: JobFiles, arguments: list[str]
) -> None:
    job.table(texts(20), "in.csv")
    job.settings["input"]["where"] = "length(text) > 0"
    assert job.run("--quiet").returncode == 0
    name, *more = arguments
    done = command(name, str(job.config_file()), *more)
    assert done.returncode == 0, done.stderr
    assert copies(job) == [".footer"]


@pytest.mark.parametrize(
    ("whole", "fraction"), [(1, 2.5), pytest.param(2**53 + 1, 2.5, id="too large for a double")]
)
def test_json_numbers_of_several_files_are_doubles_where_all_of_them_fit(
    job: JobFiles, whole: int, fraction: float
) -> None:
    (job.folder / "in").mkdir()
    for name, number in (("a", whole), ("b", fraction)):
        line = json.dumps({"text": f"row {name}", "n": number})
        (job.folder / "in" / f"{name}.jsonl").write_text(line)
    job.settings["input"]["path"] = "in"
    job.set(output={"path": "out/labelled"})
    done = job.run("--quiet")
    if whole > 2**53:
        assert done.returncode == 65
        assert "a.jsonl: column 'n' is int64, in b.jsonl it is double" in done.stderr
        return
    assert done.returncode == 0, done.stderr
    found = pl.read_parquet(job.folder / "out/labelled/*.parquet")
    assert found["n"].to_list() == [1.0, 2.5]
    assert found.schema["n"] == pl.Float64


def test_a_number_that_does_not_fit_is_told_by_the_check_though_the_copy_that_held_it_has_gone(
    job: JobFiles,
) -> None:
    (job.folder / "in").mkdir()
    (job.folder / "in" / "a.jsonl").write_text(json.dumps({"text": "row a", "n": 2**53 + 1}))
    job.settings["input"]["path"] = "in"
    job.set(output={"path": "out/labelled"})
    assert job.run("--quiet").returncode == 0
    (job.folder / "in" / "b.jsonl").write_text(json.dumps({"text": "row b", "n": 2.5}))
    done = command("check", str(job.config_file()))
    assert done.returncode == 65
    assert "a.jsonl: column 'n' is int64, in b.jsonl it is double" in done.stderr


@pytest.mark.parametrize("name", ["in.csv", "in.jsonl"])
def test_what_stays_of_a_copy_holds_no_text(job: JobFiles, name: str) -> None:
    frame = pl.DataFrame({"text": texts(5), "n": range(5)})
    (frame.write_csv if name == "in.csv" else frame.write_ndjson)(job.folder / name)
    job.settings["input"]["path"] = name
    assert job.run("--quiet").returncode == 0
    (footer,) = job.folder.glob("state/runs/*/input/*.footer")
    assert not any(text.encode() in footer.read_bytes() for text in texts(5))


def test_some_rows_of_a_table_need_its_copy_once_and_leave_none_of_their_own(job: JobFiles) -> None:
    job.table(texts(20), "in.csv")
    assert job.run("--limit", "3", "--quiet").returncode == 0
    spoil(job.folder / "in.csv")
    assert job.run("--sample", "4", "--quiet").returncode == 0
    assert copies(job) == [".footer", ".parquet"]
    assert job.run("--quiet").returncode == 0
    assert copies(job) == [".footer"]


def test_rows_of_a_finished_job_can_be_selected_and_leave_no_copy_of_the_whole(job: JobFiles) -> None:
    job.table(texts(20), "in.csv")
    assert job.run("--quiet").returncode == 0
    assert last_line(job.run("--limit", "3", "--quiet"))["rows"] == 3
    assert copies(job) == [".footer"]


def test_an_input_that_has_changed_leaves_nothing_of_what_it_was(job: JobFiles) -> None:
    for night in range(3):
        job.table(texts(10 + night), "in.csv")
        assert last_line(job.run("--quiet"))["rows"] == 10 + night
        assert copies(job) == [".footer"]


def test_two_jobs_in_one_state_directory_remember_what_each_took_in(job: JobFiles) -> None:
    for again in (False, True):
        for name in ("a.csv", "b.csv"):
            job.settings["input"]["path"] = name
            job.set(output={"path": f"out/{name}.parquet"})
            if again:
                spoil(job.folder / name)
            else:
                job.table(texts(5), name)
            assert last_line(job.run("--quiet"))["again"] is again


def test_checking_first_changes_nothing_of_the_output(job: JobFiles) -> None:
    field = pa.field("text", pa.string(), nullable=False, metadata={"k": "v"})
    schema = pa.schema([field], {"huggingface": "{}"})
    pq.write_table(pa.Table.from_arrays([pa.array(texts(5))], schema=schema), job.folder / "in.parquet")
    assert command("check", str(job.config_file())).returncode == 0
    assert job.run("--quiet").returncode == 0
    found = pq.read_schema(job.output)
    assert found.metadata[b"huggingface"] == b"{}"
    assert (found.field("text").nullable, found.field("text").metadata[b"k"]) == (False, b"v")


def test_a_copy_that_cannot_be_written_ends_a_run_before_any_request(
    job: JobFiles, server: FaultServer
) -> None:
    job.table(texts(5), "in.csv")
    (job.folder / "state").write_text("a file")
    done = job.run("--quiet")
    assert (done.returncode, server.requests) == (73, 0)
    assert "check state.dir" in done.stderr


@pytest.mark.parametrize(
    "name", ["in.jsonl", "in.jsonl.gz", "in.arrow", "in.tsv", "in.csv.zst", "in.csv.bz2"]
)
def test_every_format_is_labelled_with_its_own_types(job: JobFiles, name: str) -> None:
    frame = pl.DataFrame({"id": [1, 2, 3], "text": texts(3), "tags": [["a"], [], None]})
    kept = WRITERS[name](frame, job.folder / name)
    job.set(input={"path": name})
    done = job.run("--quiet")
    assert done.returncode == 0, done.stderr
    assert job.labelled().select(kept.columns).to_dicts() == kept.to_dicts()
    assert job.labelled()["label"].to_list() == [right_label(text) for text in texts(3)]


def jsonl(frame: pl.DataFrame, path: Path) -> pl.DataFrame:
    data = "".join(json.dumps(row) + "\n" for row in frame.to_dicts()).encode()
    return packed(frame, path, data)


def arrow(frame: pl.DataFrame, path: Path) -> pl.DataFrame:
    frame.write_ipc(path)
    return frame


def delimited(frame: pl.DataFrame, path: Path) -> pl.DataFrame:
    as_text = frame.select(pl.col("id").cast(str), "text")
    return packed(as_text, path, as_text.write_csv(separator="\t" if ".tsv" in path.name else ",").encode())


def packed(frame: pl.DataFrame, path: Path, data: bytes) -> pl.DataFrame:
    codec = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2"}.get(path.suffix)
    with pa.CompressedOutputStream(path, codec) if codec else path.open("wb") as file:
        file.write(data)
    return frame


Writer = Callable[[pl.DataFrame, Path], pl.DataFrame]
WRITERS: dict[str, Writer] = {
    "in.jsonl": jsonl,
    "in.jsonl.gz": jsonl,
    "in.arrow": arrow,
    "in.tsv": delimited,
    "in.csv.zst": delimited,
    "in.csv.bz2": delimited,
}


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs setpriv: apt install util-linux")
@pytest.mark.parametrize("arguments", [["plan"], ["explain", "3"], ["status"], ["check"]])
def test_a_state_that_can_only_be_read_can_be_looked_at(
    job: JobFiles, arguments: list[str], tmp_path: Path
) -> None:
    job.table(texts(20), "in.csv")
    assert job.run("--quiet").returncode == 0
    job.table(texts(21), "in.csv")  # so that looking takes it in
    config, name, *more = str(job.config_file()), *arguments
    (tmp_path / "temporary").mkdir()
    read_only(job.folder / "state")
    done = subprocess.run(
        [*COMMON, sys.executable, "-m", "pipeline", name, config, *more],
        env=environment({"TMPDIR": str(tmp_path / "temporary")}), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == (73 if name == "check" else 0), done.stderr
    assert list((tmp_path / "temporary").iterdir()) == []
    assert copies(job) == [".footer"]


def test_a_large_file_tells_on_stderr_how_far_it_is(
    job: JobFiles, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("pipeline.inputs.intake.compression._TOLD_EVERY_SECONDS", 0.0)
    job.table(texts(5), "in.csv")
    assert app.main(["check", str(job.config_file())]) == 0
    assert "in.csv: 100 % read" in capsys.readouterr().err
