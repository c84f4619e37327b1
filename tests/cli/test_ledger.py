"""The commands around the ledger: what they write over, and what they say that answers are worth."""

from pathlib import Path

import polars as pl
import pytest

from tests.jobs import JobFiles, command, last_line, texts


@pytest.fixture
def config(job: JobFiles) -> str:
    """A job of four rows, done."""
    job.table(texts(4))
    assert job.run("--quiet").returncode == 0
    return str(job.config_file())


@pytest.mark.parametrize("which", ["a table", "an output", "a text"])
def test_an_export_replaces_no_file_that_is_none(
    job: JobFiles, config: str, tmp_path: Path, which: str
) -> None:
    file = tmp_path / "precious"
    if which == "a text":
        file.write_text("years of work")
    else:
        file.write_bytes((job.folder / "in.parquet" if which == "a table" else job.output).read_bytes())
    before = file.read_bytes()
    ran = command("ledger", "export", config, str(file))
    assert (ran.returncode, last_line(ran)["exit_status"]) == (73, 73)
    assert ran.stderr == (
        f"error: {file}: is there already and is no export of a ledger; move it away or use --overwrite\n"
    )
    assert file.read_bytes() == before
    assert command("ledger", "export", config, str(file), "--overwrite").returncode == 0
    assert pl.read_parquet(file).height == 4


def test_an_export_replaces_an_earlier_one_also_behind_a_link(config: str, tmp_path: Path) -> None:
    file, link = tmp_path / "answers.parquet", tmp_path / "link.parquet"
    assert command("ledger", "export", config, str(file)).returncode == 0
    link.symlink_to(file)
    assert command("ledger", "export", config, str(link)).returncode == 0
    assert link.is_symlink()
    assert pl.read_parquet(file).height == 4


def test_pruning_says_how_many_answers_it_cannot_value(job: JobFiles, config: str) -> None:
    job.set(model={"price": {"input": 1.0, "output": 1.0}}).table(texts(9))
    assert job.run("--quiet").returncode == 0
    ran = command("ledger", "prune", config, "--older-than-days", "0", "--dry-run")
    assert (last_line(ran)["answers"], last_line(ran)["unpriced"]) == (9, 4)
    assert "and the price of 4 of them, which is not known" in ran.stderr


@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]])
def test_an_export_replaces_no_folder(config: str, tmp_path: Path, overwrite: list[str]) -> None:
    (tmp_path / "folder").mkdir()
    ran = command("ledger", "export", config, str(tmp_path / "folder"), *overwrite)
    assert (ran.returncode, "is no file; choose another name" in ran.stderr) == (73, True)


def test_an_export_that_breaks_off_leaves_the_earlier_one(
    config: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "answers.parquet"
    assert command("ledger", "export", config, str(file)).returncode == 0
    before = file.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pyarrow.parquet.ParquetWriter.write_batch", full)
    ran = command("ledger", "export", config, str(file))
    assert (ran.returncode, "No space left on device" in ran.stderr) == (73, True)
    assert file.read_bytes() == before
    assert [each.name for each in tmp_path.glob(".answers*")] == []
