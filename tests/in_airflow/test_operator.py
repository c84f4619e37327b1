"""The operator in a real Airflow: whatever happens to a task, its retry continues and nothing is paid twice."""

import json
import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from pipeline.config.simulate.latency import Fixed
from tests.faultserver.server import FaultServer
from tests.faultserver.settings import FaultServerSettings
from tests.in_airflow.real_airflow import Airflow
from tests.jobs import JobFiles, asked, right_label, texts

ROWS = 600
KEY = "sk-canary-7c1f52d0e9"


@pytest.fixture
def slow() -> Iterator[FaultServer]:
    """An endpoint at which the job takes some 6 seconds."""
    with FaultServer(FaultServerSettings(latency=Fixed(0.08)), label_for=right_label) as server:
        yield server


def dag(airflow: Airflow, server: FaultServer, name: str, rows: int = ROWS, **arguments: Any) -> JobFiles:
    """Make a DAG that labels so many rows."""
    folder = airflow.jobs / name
    folder.mkdir()
    job = JobFiles(folder, server.base_url).set(limits={"max_concurrency": 8})
    job.table(texts(rows))
    job.config_file()
    (folder / "task.json").write_text(json.dumps(arguments))
    return job


def until_answered(server: FaultServer, count: int) -> None:
    limit = time.monotonic() + 120
    while server.billed < count:
        assert time.monotonic() < limit, f"{server.billed} answers"
        time.sleep(0.01)


def all_right(job: JobFiles) -> bool:
    return job.labelled()["label"].to_list() == [right_label(text) for text in texts(ROWS)]


def test_a_task_returns_a_small_result_and_tells_its_asset(airflow: Airflow, server: FaultServer) -> None:
    job = dag(airflow, server, "success")
    assert [task["state"] for task in airflow.ended("success")] == ["success"]
    result = airflow.result("success")
    assert (result["rows"], result["ok"], result["requests"]) == (ROWS, ROWS, ROWS)
    assert result["evaluation"] is None  # there is no task.gold
    assert result["report"].endswith("/report.json")
    assert len(json.dumps(result)) < 1000
    events = airflow.rows(
        "select e.extra from asset_event e join asset a on a.id = e.asset_id where a.name = 'labels-success'"
    )
    assert json.loads(events[0]["extra"]) == {
        "rows": ROWS, "failed": 0, "cost_usd": result["cost_usd"], "output": str(job.output),
    }  # fmt: skip
    assert all_right(job)


@pytest.mark.parametrize("way", ["task", "command"])
def test_without_the_operator_it_is_the_same_job(airflow: Airflow, server: FaultServer, way: str) -> None:
    job = dag(airflow, server, f"as_a_{way}", **{"as": way})
    assert [task["state"] for task in airflow.ended(f"as_a_{way}")] == ["success"]
    assert airflow.result(f"as_a_{way}")["ok"] == ROWS
    assert all_right(job)


def test_a_task_that_is_killed_is_continued_by_its_retry(airflow: Airflow, slow: FaultServer) -> None:
    job = dag(airflow, slow, "killed")
    until_answered(slow, 200)
    os.kill(airflow.tasks("killed")[0]["pid"], signal.SIGKILL)
    (task,) = airflow.ended("killed")
    assert (task["state"], task["try_number"]) == ("success", 2)
    assert all_right(job)
    assert len(asked(slow)) <= ROWS + 8 + 50  # what was in flight or in a commit
    assert airflow.result("killed")["rows"] == ROWS


def test_a_task_that_is_asked_to_end_drains_and_repeats_nothing(airflow: Airflow, slow: FaultServer) -> None:
    job = dag(airflow, slow, "asked_to_end")
    until_answered(slow, 200)
    pid = airflow.tasks("asked_to_end")[0]["pid"]
    os.kill(pid, signal.SIGTERM)
    (task,) = airflow.ended("asked_to_end")
    assert (task["state"], task["try_number"]) == ("success", 2)
    assert all_right(job)
    # Airflow kills a task that takes longer to end than its drain may; what was in flight would be asked twice.
    assert (slow.billed, slow.repeats()) == (ROWS, {})


def test_a_task_that_runs_out_of_time_is_continued_by_its_retry(airflow: Airflow, slow: FaultServer) -> None:
    job = dag(
        airflow, slow, "out_of_time", execution_timeout=4, retries=30
    )  # a busy machine needs more of them
    (task,) = airflow.ended("out_of_time")
    assert task["state"] == "success"
    assert task["try_number"] > 1
    assert all_right(job)
    assert (slow.billed, slow.repeats()) == (ROWS, {})


def test_a_wrong_key_fails_the_task_without_a_retry(airflow: Airflow, server: FaultServer) -> None:
    server.when(lambda _: True, "unauthorized")
    dag(airflow, server, "wrong_key")
    (task,) = airflow.ended("wrong_key")
    assert (task["state"], task["try_number"]) == ("failed", 1)
    assert "check the key" in airflow.log("wrong_key")


def test_a_wrong_config_fails_the_task_without_a_retry(airflow: Airflow, server: FaultServer) -> None:
    dag(airflow, server, "wrong_config", overrides={"limits.max_concurency": 3})
    (task,) = airflow.ended("wrong_config")
    assert (task["state"], task["try_number"]) == ("failed", 1)
    assert "did you mean" in airflow.log("wrong_config")


def test_mapped_tasks_share_a_ledger_safely(airflow: Airflow, server: FaultServer) -> None:
    outputs = [{"output.path": f"out/{name}.parquet"} for name in ("one", "two", "three")]
    dag(airflow, server, "mapped", expand=outputs, map_index_template="{{ task.overrides['output.path'] }}")
    tasks = airflow.ended("mapped")
    assert [task["state"] for task in tasks] == ["success"] * 3
    assert {task["rendered_map_index"] for task in tasks} == {
        f"out/{name}.parquet" for name in ("one", "two", "three")
    }
    folder = airflow.jobs / "mapped/out"
    assert sorted(path.name for path in folder.iterdir()) == ["one.parquet", "three.parquet", "two.parquet"]
    assert sum(airflow.result("mapped", index)["requests"] for index in range(3)) == len(asked(server))


def test_a_connections_password_is_sent_to_the_endpoint_and_is_nowhere_else(airflow: Airflow) -> None:
    with FaultServer(FaultServerSettings(api_key=KEY), label_for=right_label) as server:
        dag(airflow, server, "with_key", llm_conn_id="llm", overrides={"limits.max_concurrency": 4})
        (task,) = airflow.ended("with_key")
    assert (task["state"], server.billed) == ("success", ROWS)
    rendered = airflow.rows(
        "select rendered_fields from rendered_task_instance_fields where dag_id = 'with_key'"
    )
    assert "limits.max_concurrency" in str(rendered)
    for folder in (airflow.home, airflow.jobs):
        assert [
            path for path in folder.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()
        ] == []


def test_a_key_that_is_refused_is_nowhere_either(airflow: Airflow) -> None:
    with FaultServer(FaultServerSettings(api_key="sk-another-one"), label_for=right_label) as server:
        dag(airflow, server, "refused_key", llm_conn_id="llm")
        (task,) = airflow.ended("refused_key")
    assert (task["state"], task["try_number"]) == ("failed", 1)
    assert [
        path for path in airflow.home.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()
    ] == []


def test_nothing_to_do_is_a_skip_where_that_is_wanted_and_a_success_elsewhere(
    airflow: Airflow, server: FaultServer
) -> None:
    for name, wanted in (("skips", True), ("succeeds", False)):
        job = dag(airflow, server, f"prepared_{name}")
        airflow.ended(f"prepared_{name}")
        folder = airflow.jobs / name
        folder.mkdir()
        (folder / "job.yaml").write_text(job.config_file().read_text())
        arguments = {"config": str(job.config_file()), "skip_if_done": wanted}
        (folder / "task.json").write_text(json.dumps(arguments))
    assert airflow.ended("skips")[0]["state"] == "skipped"
    assert airflow.ended("succeeds")[0]["state"] == "success"
    assert airflow.result("succeeds")["requests"] == 0


def test_too_many_failed_rows_fail_the_task_and_name_the_report(
    airflow: Airflow, server: FaultServer
) -> None:
    server.when(lambda text: text in texts(50, start=200), "context_length")
    job = dag(airflow, server, "failed_rows")
    (task,) = airflow.ended("failed_rows")
    assert (task["state"], task["try_number"]) == ("failed", 1)
    assert f"50 of {ROWS} rows failed" in airflow.log("failed_rows")
    assert job.output.exists()


def test_progress_is_told_in_the_tasks_log(airflow: Airflow, server: FaultServer) -> None:
    dag(airflow, server, "tells")
    airflow.ended("tells")
    assert f"{ROWS} of {ROWS} rows done" in airflow.log("tells")
