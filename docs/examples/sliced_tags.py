"""A DAG to copy: a mapped task for each slice of a job, and one that assembles. See docs/many_workers.md.

The workers need `state.dir` on a disk that all of them reach, and that is not NFS, or in an object store. For a job that one process
can do, nightly_tags.py is simpler.
"""

from datetime import datetime, timedelta

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import dag

SLICES = 8
CONFIG = "/opt/pipeline/configs/tags.yaml"


@dag(
    schedule="15 2 * * *",
    start_date=datetime(2026, 1, 1),  # noqa: DTZ001 - in the DAG's own time zone
    catchup=False,
    max_active_runs=1,
    default_args={
        "retries": 3,
        "retry_delay": timedelta(minutes=5),
    },  # a retry continues, and asks nothing twice
)
def sliced_tags() -> None:
    """Ask about each slice in a task of its own, then publish.

    `--date` is what `${now:...}` in the config stands for: a retry after midnight means the same output.
    """
    slices = BashOperator.partial(
        task_id="slice",
        bash_command='exec python -m pipeline run "$CONFIG" --slice "$SLICE" --date "{{ ds }}"',
        append_env=True,
        map_index_template="{{ task.env['SLICE'] }}",
    ).expand(env=[{"CONFIG": CONFIG, "SLICE": f"{index}/{SLICES}"} for index in range(SLICES)])
    assemble = BashOperator(
        task_id="assemble",
        bash_command='exec python -m pipeline assemble "$CONFIG" --date "{{ ds }}"',
        append_env=True,
        env={"CONFIG": CONFIG},
    )
    slices >> assemble


sliced_tags()
