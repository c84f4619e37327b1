"""A run that has published draws its report in a process of its own, and ends as it would without."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipeline.commands.report import rows as report_rows
from pipeline.commands.report.command import report
from pipeline.commands.report.job_facts import shown_config
from pipeline.errors import LockedError, NoInputError
from pipeline.job.options import RunOptions
from pipeline.job.workspace import Workspace, workspace
from tests.faultserver.server import FaultServer
from tests.jobs import JobFiles, command, environment, last_line, right_label, texts

pytestmark = pytest.mark.slow

BAD = "this one gets an answer that is no label <script>alert(1)</script>"


def label(text: str) -> str:
    return "no such label" if text == BAD else right_label(text)


@pytest.fixture
def job(tmp_path: Path) -> Iterator[JobFiles]:
    """A job whose third row fails."""
    with FaultServer(label_for=label) as server:
        job = JobFiles(tmp_path, server.base_url)
        job.table([*texts(2), BAD, *texts(20, start=2), None])
        yield job.set(input={"id": "id"}, output={"report": True}, limits={"max_failed": 1})


def place(job: JobFiles) -> Workspace:
    return workspace(job.folder / "state", job.output)


def facts(job: JobFiles) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(place(job).report.read_bytes())
    return found


def shown(job: JobFiles) -> str:
    """The text of the page."""
    return unescape(re.sub("<[^>]*>", " ", place(job).page.read_text())).replace("\u00a0", " ")


def drawn_nothing(job: JobFiles) -> bool:
    return not list(place(job).folder.glob("*report.html*")) and not list(place(job).folder.glob(".*.tmp"))


def test_a_run_draws_its_report_and_the_figures_hold_all_that_it_shows(job: JobFiles) -> None:
    assert job.run().returncode == 0
    found, text = facts(job), shown(job)
    assert "22 of 23 rows with text are labelled (95.7 %), 1 failed" in text
    (failed,) = found["examples"]["failed"]
    assert (failed["row"], failed["id"], failed["status"], failed["text"]) == (2, "2", "invalid", BAD)
    assert BAD in text
    assert len(found["examples"]["random"]) == 10
    for row in found["examples"]["random"]:
        expected = [] if row["text"] in {None, BAD} else [right_label(row["text"])]
        assert row["labels"] == expected
        assert row["text"] is None or " ".join(row["text"].split()) in " ".join(text.split())
    assert found["latency"]["replies"] == found["requests"] == 24
    assert found["series"]["done"][-1] == 24
    assert [run["run_id"] for run in found["history"]] == [found["run_id"]]


def test_a_finished_job_draws_nothing(job: JobFiles) -> None:
    assert job.run().returncode == 0
    place(job).page.unlink()
    assert last_line(job.run())["again"]
    assert drawn_nothing(job)


def test_a_job_may_do_without(job: JobFiles) -> None:
    job.set(output={"report": False})
    assert job.run().returncode == 0
    assert drawn_nothing(job)


def test_the_run_itself_loads_nothing_that_draws(job: JobFiles) -> None:
    code = "import sys; from pipeline.cli.app import main; main(sys.argv[1:]); print(*sys.modules)"
    ran = subprocess.run(
        [sys.executable, "-c", code, "run", str(job.config_file())],
        capture_output=True, text=True, env=environment(), check=True,
    )  # fmt: skip
    loaded = set(ran.stdout.splitlines()[-1].split())
    assert place(job).page.exists()
    assert not loaded & {"jinja2", "vl_convert", "sklearn", "scipy", "pipeline.reports.page"}


def test_a_report_that_cannot_be_drawn_is_one_warning_and_the_run_is_done(job: JobFiles) -> None:
    place(job).page.mkdir(parents=True)
    ran = job.run()
    assert (ran.returncode, last_line(ran)["status"]) == (0, "done")
    (warning,) = [line for line in ran.stderr.splitlines() if "report is not drawn" in line]
    assert "report.html" in warning
    assert job.labelled().height == 24


def test_a_run_that_is_stopped_while_its_report_is_drawn_is_done(job: JobFiles, tmp_path: Path) -> None:
    stand_in = tmp_path / "stand-in"
    stand_in.mkdir()
    (stand_in / "vl_convert.py").write_text(
        "import os, pathlib, time\n"
        "pathlib.Path(__file__).with_name('begun').write_text(str(os.getpid()))\n"
        "time.sleep(600)\n"
    )
    env = environment({"PYTHONPATH": os.pathsep.join([environment()["PYTHONPATH"], str(stand_in)])})
    run = subprocess.Popen(
        [sys.executable, "-m", "pipeline", "run", str(job.config_file())],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env,
    )  # fmt: skip
    while not (stand_in / "begun").exists() or not (stand_in / "begun").read_text():
        assert run.poll() is None, run.communicate()
        time.sleep(0.05)
    run.send_signal(signal.SIGTERM)
    out, err = run.communicate()
    assert (run.returncode, json.loads(out.splitlines()[-1])["status"]) == (0, "done")
    assert err.count("report is not drawn") == 1
    assert drawn_nothing(job)
    with pytest.raises(ProcessLookupError):
        os.kill(int((stand_in / "begun").read_text()), 0)
    assert last_line(job.run())["again"]


def test_the_command_draws_it_anew_and_prints_where_it_is(job: JobFiles) -> None:
    assert job.run().returncode == 0
    place(job).page.unlink()
    told = command("report", str(job.config_file()))
    assert told.returncode == 0
    assert last_line(told) == {"status": "done", "report": str(place(job).page)}
    assert str(place(job).page) in told.stderr
    assert "22 of 23 rows" in shown(job)
    assert place(job).page.stat().st_mode & 0o777 == 0o600, "it shows texts"


def test_the_report_of_some_rows_is_their_own(job: JobFiles) -> None:
    assert job.run("--limit", "2").returncode == 0
    told = command("report", str(job.config_file()), "--limit", "2")
    assert told.returncode == 0
    page = Path(last_line(told)["report"])
    assert "limit-2" in page.parent.name
    assert "--limit 2" in page.read_text()


def test_before_a_run_there_is_no_report(job: JobFiles) -> None:
    with pytest.raises(NoInputError, match="no run has published yet"):
        report(job.config())


def test_no_report_is_drawn_while_a_run_is_in_progress(job: JobFiles) -> None:
    job.set(output={"report": False})
    assert job.run().returncode == 0
    with place(job).locked(), pytest.raises(LockedError):
        report(job.config())


def test_rows_of_an_input_that_has_changed_since_are_not_mixed_up(job: JobFiles) -> None:
    assert job.run().returncode == 0
    before = facts(job)["examples"]
    job.table(texts(24, start=500))
    report(job.config())
    assert facts(job)["examples"] == before, "those of the run"


def test_runs_of_one_table_are_compared(job: JobFiles) -> None:
    assert job.run().returncode == 0
    assert job.run("--retry", "all").returncode == 0
    found = facts(job)
    assert len(found["history"]) == 2
    assert found["history"][-1]["run_id"] == found["run_id"]


def test_no_secret_is_shown(job: JobFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "sk-0123456789abcdef")
    monkeypatch.setenv("MY_HEADER", "header-0123456789")
    monkeypatch.setenv("MY_PING", "https://hc-ping.com/0123-4567")
    job.set(
        model={"api_key_env": "MY_KEY", "headers": {"X-Api-Key": "${MY_HEADER}", "X-Team": "tickets"}},
        notify={"healthcheck_url": "${MY_PING}"},
    )
    job.settings["task"]["instructions"] = "Never say sk-0123456789abcdef."
    config = shown_config(job.config())
    assert "tickets" in config
    assert "MY_KEY" in config, "the name of the variable is none"
    assert not [word for word in ("0123456789", "0123-4567") if word in config]


@pytest.mark.parametrize("second", [False, True])
def test_no_secret_of_one_of_several_endpoints_is_shown(
    job: JobFiles, monkeypatch: pytest.MonkeyPatch, *, second: bool
) -> None:
    monkeypatch.setenv("MY_KEY", "sk-0123456789abcdef")
    monkeypatch.setenv("MY_HEADER", "header-0123456789")
    endpoint = {
        "base_url": "https://a.example/v1", "api_key_env": "MY_KEY",
        "headers": {"X-Api-Key": "${MY_HEADER}", "X-Team": "tickets"},
    }  # fmt: skip
    several = {
        "provider": "openai-compatible", "name": "big",
        "endpoints": [endpoint, {"base_url": "https://b.example/v1"}],
    }  # fmt: skip
    if second:
        job.settings["escalate"] = {"model": several, "below": 0.5}
    else:
        job.settings["model"] = several
    job.settings["task"]["instructions"] = "Never say sk-0123456789abcdef."
    config = shown_config(job.config())
    assert "tickets" in config
    assert "0123456789" not in config


def test_right_labels_are_asked_for_where_there_are_none(job: JobFiles) -> None:
    job.set(output={"report": False})
    assert job.run().returncode == 0
    report(job.config(), RunOptions())
    assert facts(job)["evaluation"] is None
    assert "task.gold" in facts(job)["evaluation_note"]


def test_of_a_large_table_only_a_part_is_read_and_the_page_says_so(
    job: JobFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = pl.DataFrame({"id": range(400), "text": [*texts(310), BAD, *texts(89, start=310)]})
    job.set(output={"report": False}).table(frame)
    frame.write_parquet(job.folder / "in.parquet", row_group_size=50)
    assert job.run().returncode == 0
    monkeypatch.setattr(report_rows, "MOST_ROWS", 100)
    report(job.config())
    found = facts(job)["examples"]
    assert "parts with about 100 rows were looked at" in found["note"]
    assert [row["row"] for row in found["failed"]] == [310], "where rows failed is read first"
    groups = {row["row"] // 50 for row in found["random"]}
    assert len(found["random"]) == 10
    assert len({*groups, 6}) <= 2
