"""What a connection says, and what a DAG file costs."""

import json
import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from airflow.sdk.providers_manager_runtime import ProvidersManagerTaskRuntime

from pipeline.airflow import PipelineHook
from pipeline.airflow.hook import Endpoint

EXAMPLE = Path(__file__).parents[2] / "docs/examples/nightly_tags.py"

CONNECTIONS = {
    "pipeline": (
        {"conn_type": "pipeline", "host": "https://llm.example/v1/", "password": "sk-1"},
        Endpoint("https://llm.example/v1", "sk-1"),
    ),
    "only a key": ({"conn_type": "pipeline", "password": "sk-1"}, Endpoint(None, "sk-1")),
    "no key": ({"conn_type": "pipeline", "host": "http://127.0.0.1:8000/v1"}, Endpoint("http://127.0.0.1:8000/v1", None)),
    "openai": (
        {"conn_type": "openai", "password": "sk-1", "extra": {"openai_client_kwargs": {"base_url": "https://llm.example/v1"}}},
        Endpoint("https://llm.example/v1", "sk-1"),
    ),
    "http": (
        {"conn_type": "http", "schema": "https", "host": "llm.example", "port": 8443, "password": "sk-1", "extra": {"base_path": "/v1"}},
        Endpoint("https://llm.example:8443/v1", "sk-1"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CONNECTIONS)
def test_a_connection_gives_key_and_address(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    given, wanted = CONNECTIONS[name]
    monkeypatch.setenv("AIRFLOW_CONN_MINE", json.dumps(given))
    found = PipelineHook("mine").get_conn()
    assert found == wanted
    assert "sk-1" not in repr(found)


def test_airflow_knows_the_provider_and_its_kind_of_connection() -> None:
    (point,) = [
        each for each in entry_points(group="apache_airflow_provider") if "pipeline.airflow" in each.value
    ]
    assert point.load()()["package-name"] == "nano-pipeline"
    manager = ProvidersManagerTaskRuntime()
    assert manager.hooks["pipeline"].hook_name == "Pipeline (LLM endpoint)"


def test_a_dag_file_loads_nothing_heavy_and_takes_little_beyond_airflows_own_import(
    record_property, tmp_path: Path
) -> None:
    code = (
        "import airflow.sdk.exceptions, sys, time; from airflow.sdk import Asset, BaseHook, BaseOperator, Param, dag, task;"
        "before, begun = set(sys.modules), time.process_time();"
        f"exec(compile(open({str(EXAMPLE)!r}).read(), {str(EXAMPLE)!r}, 'exec'), dict(__name__='dag', __file__={str(EXAMPLE)!r}));"
        "print(time.process_time() - begun, *(set(sys.modules) - before))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env={**os.environ, "AIRFLOW_HOME": str(tmp_path)},
    )  # fmt: skip
    seconds, *loaded = done.stdout.splitlines()[-1].split()
    record_property("seconds of a DAG file beyond Airflow's own import", float(seconds))
    assert not {"polars", "pyarrow", "aiohttp", "orjson", "ruamel", "sqlite3", "uvloop"} & set(loaded)
    assert float(seconds) < 0.5
