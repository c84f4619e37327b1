"""What is wrong is found before the first request: all of it at once, a line each."""

import os
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import polars as pl
import pytest

from pipeline.cli import app
from pipeline.job.options import RunOptions
from pipeline.job.prepare import started
from pipeline.ledger import open_store
from tests.faultserver.server import FaultServer
from tests.jobs import JobFiles, command, texts

Wrong = Callable[..., list[str]]


@pytest.fixture
def wrong(job: JobFiles, server: FaultServer, capsys: pytest.CaptureFixture[str]) -> Wrong:
    """Make sure that `check` and `run` end with a status and send nothing; returns the lines of `check`."""

    def look(status: int, *arguments: str) -> list[str]:
        path = str(job.config_file())
        if not arguments:
            assert app.main(["check", path]) == status
        said = capsys.readouterr().err
        assert app.main(["run", path, *arguments]) == status
        run_said = capsys.readouterr().err
        assert "Traceback" not in said + run_said
        assert server.requests == 0
        lines = (said or run_said).splitlines()
        assert all(line.startswith("error: ") for line in lines)
        return [line.removeprefix("error: ").replace(f"{job.folder}/", "") for line in lines]

    return look


@pytest.fixture
def table(job: JobFiles) -> Path:
    job.table(texts(5))
    return job.folder / "in.parquet"


def test_the_output_must_not_be_the_input(job: JobFiles, table: Path, wrong: Wrong) -> None:
    before = table.read_bytes()
    job.set(output={"path": "in.parquet"})
    (line,) = wrong(78)
    assert "output.path" in line
    (job.folder / "link.parquet").symlink_to(table)
    job.set(output={"path": "link.parquet"})
    assert len(wrong(78)) == 1
    assert table.read_bytes() == before


@pytest.mark.usefixtures("table")
def test_a_time_zone_that_is_not_known_is_noted_where_a_time_of_the_day_is_set(job: JobFiles) -> None:
    def said(zone: str) -> str:
        done = command("check", str(job.config_file()), env={"TZ": zone})
        assert done.returncode == 0
        return done.stderr

    assert "TZ" not in said("Nonsense/Zone")
    job.set(limits={"finish_by": "06:00"})
    assert "TZ" not in said("Europe/Berlin")
    assert 'limits.finish_by: "06:00" is in UTC, because TZ=Nonsense/Zone is no time zone' in said(
        "Nonsense/Zone"
    )


@pytest.mark.usefixtures("table")
def test_an_output_that_is_not_ours_is_kept_unless_told_otherwise(job: JobFiles, wrong: Wrong) -> None:
    job.output.parent.mkdir()
    pl.DataFrame({"precious": [1]}).write_parquet(job.output)
    assert wrong(73) == [
        "out/labelled.parquet: is there already and is not ours; move it away or use --overwrite"
    ]
    assert pl.read_parquet(job.output).columns == ["precious"]
    assert app.main(["run", str(job.config_file()), "--overwrite"]) == 0
    assert "label" in job.labelled().columns


@pytest.mark.usefixtures("table")
def test_an_output_that_is_a_folder_is_named(job: JobFiles, wrong: Wrong) -> None:
    job.output.mkdir(parents=True)
    assert wrong(73) == ["out/labelled.parquet: is a folder; give output.path a file's name"]


@pytest.fixture
def read_only(job: JobFiles) -> Iterator[Path]:
    folder = job.folder / "read-only"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "ro,size=1m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a folder that root cannot write")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("section", ["output", "state"])
@pytest.mark.usefixtures("table", "read_only")
def test_a_folder_that_cannot_be_written_is_found_before_the_first_request(
    job: JobFiles, wrong: Wrong, section: str
) -> None:
    job.set(
        **{section: {"path": "read-only/out.parquet"} if section == "output" else {"dir": "read-only/state"}}
    )
    (line,) = wrong(73)
    assert "read-only" in line
    assert f"check {section}." in line


@pytest.mark.usefixtures("table")
def test_a_folder_that_a_file_is_in_the_way_of_is_named(job: JobFiles, wrong: Wrong) -> None:
    (job.folder / "file").touch()
    job.set(output={"path": "file/out.parquet"})
    (line,) = wrong(73)
    assert "check output.path" in line


@pytest.mark.usefixtures("table")
def test_a_missing_output_folder_is_made(job: JobFiles) -> None:
    job.set(output={"path": "new/and/deep/out.parquet"})
    assert app.main(["run", str(job.config_file()), "--quiet"]) == 0
    assert job.output.exists()


@pytest.mark.usefixtures("table")
def test_a_template_that_names_a_missing_column_is_told_which_there_are(job: JobFiles, wrong: Wrong) -> None:
    job.set(task={"text": "{title}: {text}"})
    (line,) = wrong(78)
    assert "title" in line
    assert "id" in line
    assert "text" in line


def test_a_file_needs_a_file_and_a_folder_a_folder(job: JobFiles, table: Path, wrong: Wrong) -> None:
    (job.folder / "days").mkdir()
    table.rename(job.folder / "days" / "a.parquet")
    job.set(input={"path": "days"})
    (line,) = wrong(78)
    assert "output.path" in line


@pytest.mark.usefixtures("job")
def test_a_missing_input_ends_with_66(wrong: Wrong) -> None:
    (line,) = wrong(66)
    assert "in.parquet" in line


def test_check_tells_everything_at_once(
    job: JobFiles, server: FaultServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    job.table(pl.DataFrame({"text": ["a"], "label": ["mine"]}))
    job.output.mkdir(parents=True)
    (job.folder / "state").touch()
    job.set(
        model={"api_key_env": "NOBODY_HAS_THIS_KEY"},
        output={"columns": {"only": ["text", "label", "nope"]}},
    )
    monkeypatch.delenv("NOBODY_HAS_THIS_KEY", raising=False)
    assert app.main(["check", str(job.config_file())]) == 78
    captured = capsys.readouterr()
    lines = captured.err.splitlines()
    assert len(lines) == 5
    for line, sign in zip(
        lines,
        ["nope", "output.columns.prefix", "is a folder", "state: is no folder", "NOBODY_HAS_THIS_KEY"],
        strict=True,
    ):
        assert sign in line
    assert server.requests == 0


def test_check_tells_all_that_is_wrong_with_the_way_to_the_endpoint(
    job: JobFiles, monkeypatch: pytest.MonkeyPatch, wrong: Wrong
) -> None:
    job.table(texts(5))
    job.set(
        model={
            "base_url": "https://models.invalid/v1",
            "api_key_env": "NOBODY_HAS_THIS_KEY",
            "ca_file": "nowhere.pem",
        }
    )
    monkeypatch.delenv("NOBODY_HAS_THIS_KEY", raising=False)
    monkeypatch.setenv("HTTPS_PROXY", "socks5://canary@proxy:1080")
    monkeypatch.delenv("https_proxy", raising=False)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/bundle.pem")
    signs = [
        "NOBODY_HAS_THIS_KEY",
        "HTTPS_PROXY is a SOCKS",
        "REQUESTS_CA_BUNDLE: /nowhere",
        "model.ca_file: nowhere.pem",
    ]
    lines = wrong(78)
    assert len(lines) == len(signs)
    for line, sign in zip(lines, signs, strict=True):
        assert sign in line
    assert "canary" not in "".join(lines)


def test_a_header_for_a_key_that_its_variable_leaves_empty_is_named(
    job: JobFiles, monkeypatch: pytest.MonkeyPatch, wrong: Wrong
) -> None:
    job.table(texts(5))
    monkeypatch.setenv("AZURE_KEY", "")
    job.set(model={"headers": {"api-key": "${AZURE_KEY}", "X-Team": "${AZURE_KEY}"}})
    assert wrong(78) == ["model.headers.api-key is empty; set the variable that it is filled in from"]


def test_an_embedded_model_that_is_not_installed_is_told_with_the_way_to_install_it(
    job: JobFiles, monkeypatch: pytest.MonkeyPatch, wrong: Wrong
) -> None:
    job.table(texts(5))
    job.settings["model"] = {"provider": "local"}
    monkeypatch.setattr("pipeline.servers.endpoint.find_spec", lambda _: None)
    (line,) = wrong(78)
    assert "pip install 'nano-pipeline[local]'" in line


def test_a_ledger_or_a_workspace_that_cannot_be_written_is_told(
    job: JobFiles, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    job.table(texts(5))
    assert app.main(["run", str(job.config_file()), "--quiet"]) == 0
    capsys.readouterr()
    access = os.access
    for part in ("ledger.sqlite", "parts"):
        monkeypatch.setattr(
            os, "access", lambda path, mode, part=part: part not in str(path) and access(path, mode)
        )
        assert app.main(["check", str(job.config_file())]) == 73
        assert f"{part}: cannot be written" in capsys.readouterr().err


def test_check_says_what_a_run_will_meet(
    job: JobFiles, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    job.table(texts(5))
    job.set(
        model={"base_url": "https://models.invalid/v1", "proxy": "http://me:${P}@proxy:3128"},
        limits={"max_cost_usd": 1},
    )
    monkeypatch.setenv("P", "canary-password")
    with started(job.config(), RunOptions()):
        assert app.main(["check", str(job.config_file())]) == 0
    said = capsys.readouterr().err
    assert "note: requests go through the proxy http://proxy:3128 (model.proxy)" in said
    assert "note: limits.max_cost_usd: only the endpoint can tell" in said
    assert "note: another run has the output now: " in said
    assert "all is well" in said
    assert "canary" not in said
    job.set(model={"price": {"input": 0, "output": 0}, "proxy": "none"})
    assert app.main(["check", str(job.config_file())]) == 0
    assert "note:" not in capsys.readouterr().err


def test_a_missing_input_does_not_hide_what_is_wrong_with_the_output(
    job: JobFiles, capsys: pytest.CaptureFixture[str]
) -> None:
    job.output.mkdir(parents=True)
    assert app.main(["check", str(job.config_file())]) == 66
    assert "is a folder" in capsys.readouterr().err


@pytest.mark.usefixtures("table")
def test_check_leaves_the_state_directory_unmade(job: JobFiles) -> None:
    assert app.main(["check", str(job.config_file())]) == 0
    assert "state" not in [path.name for path in job.folder.iterdir()]


@pytest.mark.usefixtures("table")
def test_a_budget_for_a_model_whose_price_nobody_tells_is_found_before_anything_is_sent(
    job: JobFiles, wrong: Wrong, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-made-up")
    job.settings["model"] = {"provider": "openai", "name": "gpt-99"}
    job.set(limits={"max_cost_usd": 1})
    sentence = (
        "limits.max_cost_usd is set, but no price is known for 'gpt-99'; "
        "set model.price (US dollars per million tokens) or remove the limit"
    )
    assert wrong(78) == [sentence]
    assert app.main(["plan", str(job.config_file())]) == 78


@pytest.mark.usefixtures("table")
@pytest.mark.parametrize("version", [1, 5])
def test_a_ledger_of_another_version_of_the_program_is_told(
    job: JobFiles, wrong: Wrong, version: int
) -> None:
    state = job.folder / "state"
    ledger = state / "ledger.sqlite"
    with open_store(state):
        pass
    with closing(sqlite3.connect(ledger)) as connection:
        connection.execute(f"PRAGMA user_version = {version}")
    before = ledger.read_bytes()
    (line,) = wrong(78)
    assert line.startswith(f"state/ledger.sqlite: {'written by a newer' if version > 1 else 'of format 1'}")
    assert ledger.read_bytes() == before


@pytest.mark.usefixtures("table")
def test_a_ledger_of_this_version_or_an_empty_one_is_fine(job: JobFiles) -> None:
    state = job.folder / "state"
    state.mkdir()
    (state / "ledger.sqlite").touch()
    assert app.main(["check", str(job.config_file())]) == 0
    (state / "ledger.sqlite").unlink()
    with open_store(state):
        pass
    assert app.main(["check", str(job.config_file())]) == 0
