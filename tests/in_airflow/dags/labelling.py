"""The DAGs of the tests: one for each folder in JOBS that has a `task.json` with the operator's parameters."""

import json
import os
import sys
from datetime import timedelta
from pathlib import Path

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG, Asset, task

from pipeline.airflow import ClassifyOperator

JOBS = Path(os.environ["JOBS"])


@task(task_id="label")
def label(config: str) -> dict:
    from pipeline import load_config, run  # noqa: PLC0415

    return run(load_config(config)).as_dict()


def operator(folder: Path) -> None:
    given = json.loads((folder / "task.json").read_text())
    config = str(folder / "job.yaml")
    if given == {"as": "task"}:
        label(config)
    elif given == {"as": "command"}:
        command = f"{sys.executable} -m pipeline run {config} --quiet"
        BashOperator(task_id="label", bash_command=command, output_processor=json.loads)
    else:
        classify(folder, given)


def classify(folder: Path, given: dict) -> None:
    overrides = given.pop("expand", None)
    seconds = given.pop("execution_timeout", None)
    arguments = {
        "task_id": "label",
        "config": "{{ params.config }}",
        "retries": 2,
        "retry_delay": timedelta(seconds=1),
        "execution_timeout": timedelta(seconds=seconds) if seconds else None,
        **given,
    }
    if overrides is None:
        ClassifyOperator(outlets=[Asset(f"labels-{folder.name}")], **arguments)
    else:
        ClassifyOperator.partial(**arguments).expand(overrides=overrides)


for folder in sorted(JOBS.iterdir()):
    if (folder / "task.json").exists():
        with DAG(
            folder.name,
            schedule="@once",
            catchup=False,
            is_paused_upon_creation=False,
            params={"config": str(folder / "job.yaml")},
        ) as globals()[folder.name]:
            operator(folder)
