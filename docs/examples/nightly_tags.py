"""A DAG to copy: label a table every night, then the files of a folder, a task each, then look at what came out.

It runs as it stands, for free, with the embedded model (`make .venv-airflow/installed`; docs/airflow.md has the rest):

    .venv-airflow/bin/python docs/examples/nightly_tags.py

To use your model, make a connection `llm` (type Pipeline, the API key as password, the base URL as host) and trigger
the DAG with the parameters `provider: oxen` and `llm_conn_id: llm`, or change their defaults below.
"""

import os
from datetime import datetime, timedelta
from pathlib import Path

from airflow.sdk import Asset, Param, dag, task

from pipeline.airflow import ClassifyOperator

HOME = Path(os.environ.get("PIPELINE_HOME", Path(__file__).resolve().parents[2]))
CONFIG = str(HOME / "configs/tags.yaml")
INBOX = HOME / "data/sample"
MOST_FAILED = 0.01

TAGS = Asset("package-tags", uri=(HOME / "out/packages-tags.parquet").as_uri())
ENDPOINT = {"provider": "{{ params.provider }}", "llm_conn_id": "{{ params.llm_conn_id }}"}


@dag(
    schedule="15 2 * * *",
    start_date=datetime(2026, 1, 1),  # noqa: DTZ001 - in the DAG's own time zone
    catchup=False,  # rows are chosen by what has an answer: the next night labels what a missed one did not
    max_active_runs=1,
    params={
        "provider": Param("local", enum=["local", "oxen", "openai", "openai-compatible", "simulate"]),
        "llm_conn_id": Param("", type="string", description="A connection with the key; empty for none."),
    },
    default_args={
        "retries": 3,  # a retry continues, and asks nothing twice
        "retry_delay": timedelta(minutes=5),
        "retry_exponential_backoff": True,
        "execution_timeout": timedelta(hours=6),
    },
)
def nightly_tags() -> None:
    """Label the sample and every file of a folder, and fail if too many rows have no label."""
    table = ClassifyOperator(task_id="label_table", config=CONFIG, outlets=[TAGS], **ENDPOINT)

    @task
    def files() -> list[dict[str, str]]:
        """Name each file of the folder and its output; all of them share one ledger."""
        return [
            {"input.path": str(path), "output.path": str(HOME / "out/inbox" / f"{path.stem}.parquet")}
            for path in sorted(INBOX.glob("*.parquet"))
        ]

    each = ClassifyOperator.partial(
        task_id="label_file",
        config=CONFIG,
        map_index_template="{{ task.overrides['input.path'].split('/')[-1] }}",
        max_active_tis_per_dag=4,
        **ENDPOINT,
    ).expand(overrides=files())

    @task(trigger_rule="none_failed")
    def failed_share(results: list[dict[str, object]]) -> float:
        """Look at the rows themselves: which share of those with text has no label?"""
        import polars as pl  # noqa: PLC0415 - not while the DAG is parsed

        outputs = [str(result["output"]) for result in results]
        rows = pl.scan_parquet(outputs, missing_columns="insert", extra_columns="ignore")
        failed = ~pl.col("label_status").is_in(["ok", "empty"])
        share: float = rows.select(failed.mean()).collect().item()
        if share > MOST_FAILED:
            raise ValueError(f"{share:.1%} of the rows have no label; see label_error in {outputs}")
        return share

    @task(trigger_rule="none_failed")
    def gather(one: dict[str, object], many: list[dict[str, object]] | None) -> list[dict[str, object]]:
        """Put the results of all tasks into one list; a folder without files has none."""
        return [one, *(many or [])]

    failed_share(gather(table.output, each.output))


nightly = nightly_tags()

if __name__ == "__main__":
    nightly.test()
