"""What a test wants to know of a running Airflow; it looks into its database and logs."""

import json
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ENDED = {"success", "failed", "skipped", "upstream_failed"}


@dataclass(frozen=True)
class Airflow:
    """Where it is.

    Attributes:
        home: Its folder: database, logs, config.
        jobs: A folder here with a `task.json` becomes a DAG.
    """

    home: Path
    jobs: Path

    def rows(self, query: str, *values: object) -> list[dict[str, Any]]:
        """Ask its database."""
        with closing(sqlite3.connect(f"file:{self.home}/airflow.db?mode=ro", uri=True, timeout=30)) as store:
            store.row_factory = sqlite3.Row
            return [dict(row) for row in store.execute(query, values)]

    def tasks(self, dag: str) -> list[dict[str, Any]]:
        """The task instances of *dag*, each with state, try_number, pid, rendered_map_index."""
        return self.rows(
            "select map_index, state, try_number, pid, rendered_map_index from task_instance where dag_id = ? "
            "order by map_index", dag,
        )  # fmt: skip

    def ended(self, dag: str, seconds: float = 120) -> list[dict[str, Any]]:
        """Wait until all tasks of *dag* have ended."""
        return self.when(dag, lambda tasks: all(task["state"] in ENDED for task in tasks), seconds)

    def when(
        self, dag: str, fits: Callable[[list[dict[str, Any]]], bool], seconds: float = 120
    ) -> list[dict[str, Any]]:
        """Wait until the tasks of *dag* fit."""
        limit = time.monotonic() + seconds
        while time.monotonic() < limit:
            tasks = self.tasks(dag)
            if tasks and fits(tasks):
                return tasks
            time.sleep(0.2)
        raise AssertionError(f"{dag}: {self.tasks(dag)} after {seconds} s; see {self.home}")

    def result(self, dag: str, index: int = -1) -> dict[str, Any]:
        """What a task returned."""
        found = self.rows(
            "select value from xcom where dag_id = ? and map_index = ? and key = 'return_value'", dag, index
        )
        value = json.loads(found[0]["value"])
        return json.loads(value) if isinstance(value, str) else value

    def log(self, dag: str) -> str:
        """All logs of *dag*."""
        return "".join(path.read_text() for path in sorted(self.home.glob(f"logs/dag_id={dag}/**/*.log")))
