"""A real Airflow, with its scheduler, API server and executor, on a database and a port of its own."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.in_airflow.real_airflow import Airflow

BIN = Path(sys.executable).parent
DAGS = Path(__file__).with_name("dags")


def until_healthy(port: int, home: Path) -> None:
    """Wait until the API server answers and the scheduler beats."""
    limit = time.monotonic() + 300
    while time.monotonic() < limit:
        with suppress(OSError), urlopen(f"http://127.0.0.1:{port}/api/v2/monitor/health") as reply:
            parts = json.load(reply)
            if all(
                parts[part]["status"] == "healthy" for part in ("metadatabase", "scheduler", "dag_processor")
            ):
                return
        time.sleep(0.5)
    raise AssertionError((home / "standalone.log").read_text()[-5000:])


@pytest.fixture(scope="session")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Airflow]:
    home, jobs = tmp_path_factory.mktemp("airflow"), tmp_path_factory.mktemp("jobs")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")},
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "JOBS": str(jobs),
        "AIRFLOW_HOME": str(home),
        "AIRFLOW_CONN_LLM": json.dumps({"conn_type": "pipeline", "password": "sk-canary-7c1f52d0e9"}),
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "2",
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "2",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_SEC": "2",
    }
    out = (home / "standalone.log").open("w")
    standalone = subprocess.Popen(
        [BIN / "airflow", "standalone"], env=environment, stdout=out, stderr=out, start_new_session=True
    )
    try:
        until_healthy(port, home)
        yield Airflow(home, jobs)
    finally:
        os.killpg(standalone.pid, signal.SIGTERM)
        try:
            standalone.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(standalone.pid, signal.SIGKILL)
            standalone.wait()
        out.close()
