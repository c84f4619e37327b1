"""What `status` reports of a run that is on, that was killed, and that is done."""

import re
import signal
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest

from pipeline.config.simulate.latency import Fixed
from tests.faultserver.server import FaultServer
from tests.faultserver.settings import FaultServerSettings
from tests.jobs import JobFiles, command, last_line, right_label, texts


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer(FaultServerSettings(latency=Fixed(0.1)), label_for=right_label) as simulator:
        yield simulator


@pytest.fixture
def going(job: JobFiles) -> Iterator[subprocess.Popen[str]]:
    """A run that has got some of its answers and is far from its end."""
    job.table(texts(30_000))
    job.set(limits={"max_concurrency": 4, "finish_by": "06:00"}, model={"price": {"input": 1, "output": 4}})
    with job.start("--quiet") as run:
        try:
            while status(job).get("answers", 0) < 10:
                assert run.poll() is None, run.communicate()
                time.sleep(0.1)  # the run needs the processor more
            yield run
        finally:
            run.kill()


def status(job: JobFiles) -> dict[str, Any]:
    ran = command("status", str(job.config_file()))
    return last_line(ran) if ran.returncode == 0 else {}


def test_a_run_that_is_on_shows_what_it_has_paid_for(
    going: subprocess.Popen[str], job: JobFiles, server: FaultServer
) -> None:
    found = status(job)
    assert (found["status"], found["running_as"].split(" on ")[0]) == ("running", f"process {going.pid}")
    assert (found["requests"], found["seconds"]) == (None, None)
    assert 10 <= found["answers"] <= server.billed
    assert found["prompt_tokens"] > 10 * 10
    assert found["cost_usd"] == pytest.approx((found["prompt_tokens"] + 4 * found["completion_tokens"]) / 1e6)


def test_a_run_that_is_on_tells_its_pace_and_the_time_that_is_left(
    going: subprocess.Popen[str], job: JobFiles
) -> None:
    while not (run := status(job)["runs"][0])["seconds_left"]:
        assert going.poll() is None
        time.sleep(0.2)
    assert run["rows"] == 30_000
    assert 0 < run["rows_done"] < 30_000
    assert run["rate"] > 0
    assert run["cost_usd"] > 0
    assert run["waiting"] is False
    assert run["makes_it"] is (run["ends"] <= run["finish_by"])
    said = command("status", str(job.config_file())).stderr
    assert re.search(
        r"labelled\.parquet +openai-compatible +running +30,000 +\d+ % .* (\d+:)?\d+:\d\d\n", said
    ), said
    assert "labelled.parquet: due " in said


def test_a_killed_run_is_not_said_to_be_running(
    going: subprocess.Popen[str], job: JobFiles, server: FaultServer
) -> None:
    going.send_signal(signal.SIGKILL)
    going.wait()
    found = status(job)
    assert (found["status"], found["running_as"], found["requests"]) == ("interrupted", None, None)
    assert server.billed - 4 * 2 <= found["answers"] <= server.billed
    printed = command("status", str(job.config_file())).stderr
    assert "interrupted" in printed
    assert "requests" not in printed


def test_a_run_that_was_stopped_gently_is_interrupted_and_one_that_is_done_published(
    going: subprocess.Popen[str], job: JobFiles, server: FaultServer
) -> None:
    going.send_signal(signal.SIGTERM)
    assert going.wait(20) == 75
    found = status(job)
    assert (found["status"], found["answers"]) == ("interrupted", server.billed)
    job.table(texts(found["answers"] // 2))
    assert job.run("--quiet").returncode == 0
    done = status(job)
    assert (done["status"], done["rows_done"], done["answers"]) == ("published", found["answers"] // 2, 0)
    assert (done["requests"], done["seconds"] >= 0) == (0, True)


def test_a_damaged_record_is_not_taken_for_no_run(job: JobFiles) -> None:
    job.table(texts(5))
    assert "no run yet" in command("status", str(job.config_file())).stderr
    job.run("--quiet")
    (record,) = job.folder.glob("state/runs/*/run.json")
    record.write_text("garbage")
    said = command("status", str(job.config_file()))
    assert (said.returncode, f"{record}: is damaged" in said.stderr) == (65, True)


def test_the_report_is_where_the_state_is_now(job: JobFiles) -> None:
    job.table(texts(5))
    job.run("--quiet")
    (job.folder / "state").rename(job.folder / "moved")
    job.set(state={"dir": "moved"})
    assert str(job.folder / "moved") in status(job)["summary"]["report"]


def test_every_run_below_the_state_directory_is_listed_newest_first(job: JobFiles) -> None:
    job.table(texts(8))
    assert job.run("--quiet", "--limit", "3").returncode == 0
    before = status(job)
    assert (before["status"], before["run_id"]) == ("no run", None)
    assert (
        job.run("--quiet", "--set", "model.provider=simulate", "--set", "simulate.latency=0").returncode == 0
    )
    assert job.run("--quiet", "--sample", "2").returncode == 0
    assert job.run("--quiet").returncode == 0
    now = status(job)
    assert now.keys() == before.keys()
    runs = now["runs"]
    assert [run["output"].rsplit("/", 1)[-1] for run in runs] == [
        "labelled.parquet", "labelled.sample-2-0.parquet", "labelled.simulated.parquet", "labelled.limit-3.parquet"
    ]  # fmt: skip
    assert [(run["status"], run["rows"], run["percent"]) for run in runs] == [
        ("published", 8, 100.0), ("published", 2, 100.0), ("published", 8, 100.0), ("published", 3, 100.0)
    ]  # fmt: skip
    assert [run["provider"] for run in runs].count("simulate") == 1


def test_records_and_snapshots_that_are_damaged_are_passed_over(job: JobFiles) -> None:
    job.table(texts(5))
    assert job.run("--quiet").returncode == 0
    (record,) = job.folder.glob("state/runs/*/run.json")
    other = record.parent.with_name("other-1234")
    other.mkdir()
    (other / "run.json").write_text("garbage")
    (record.parent / "progress.json").write_text("[]")
    assert len(status(job)["runs"]) == 1


def test_a_partial_output_says_how_much_of_it_is_there(job: JobFiles) -> None:
    job.table(texts(40))
    assert job.run("--limit", "10").returncode == 0
    published = command("publish", str(job.config_file()), "--partial")
    assert "10 of 40 rows done (25 %)" in published.stderr
    runs = status(job)["runs"]
    [partial] = [run for run in runs if run["output"].endswith("labelled.partial.parquet")]
    assert (partial["status"], partial["rows"], partial["rows_done"], partial["percent"]) == (
        "partial",
        40,
        10,
        25.0,
    )
    assert re.search(
        r"labelled\.partial\.parquet.* partial +40 +25 %", command("status", str(job.config_file())).stderr
    )
