"""The DAG of docs/examples, as it stands."""

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_example_runs_as_it_stands(tmp_path: Path) -> None:
    for folder in ("configs", "data", "docs"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")},
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "AIRFLOW_HOME": str(tmp_path / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(tmp_path / "docs/examples"),
    }
    for command in (["airflow", "db", "migrate"], [sys.executable, "docs/examples/nightly_tags.py"]):
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
    with closing(sqlite3.connect(tmp_path / "airflow/airflow.db")) as store:
        states = store.execute("select task_id, state, rendered_map_index from task_instance").fetchall()
        share = store.execute("select value from xcom where task_id = 'failed_share'").fetchone()
    assert {state for _, state, _ in states} == {"success"}
    assert ("label_file", "success", "packages.parquet") in states
    assert float(share[0]) == 0
    assert (tmp_path / "out/packages-tags.parquet").exists()
