"""`status`: where the latest run of a job stands."""

from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pipeline.config import Config
from pipeline.errors import InputDataError, NoInputError
from pipeline.job.job import Job
from pipeline.job.prepare import prepare
from pipeline.job.workspace import RUNNING
from pipeline.ledger import opened
from pipeline.outputs.parts import NAME

INTERRUPTED = "interrupted"
"""Status of a run that is neither published nor running; the same command continues it."""


def status(config: Config) -> dict[str, Any]:
    """Return where the latest run of *config* stands.

    Requests and seconds are None until the run is published, as its record does not count the execution that is
    running; what it has paid for so far comes from the ledger.

    Raises:
        NoInputError: If there was no run yet.
        InputDataError: If the record of the latest run is damaged.
        PipelineError: If the config or the input is wrong.
    """
    with TemporaryDirectory(prefix="pipeline-status-") as folder:
        job = prepare(config, copies=Path(folder))
    record = job.workspace.load()
    if record is None and job.workspace.record.exists():
        raise InputDataError(
            f"{job.workspace.record}: is damaged; `run` writes a new one, and pays nothing twice"
        )
    if record is None:
        raise NoInputError(f"{job.workspace.folder}: no run yet; start one with `run`")
    holder = job.workspace.holder()
    is_open = record.status == RUNNING
    return {
        "run_id": record.run_id,
        "status": INTERRUPTED if is_open and holder is None else record.status,
        "current": record.identity == job.identity,
        "running_as": holder,
        "started": datetime.fromtimestamp(record.started_at, UTC).isoformat(timespec="seconds"),
        "rows": job.source.rows,
        "rows_done": _rows_in_parts(job) if is_open else job.source.rows,
        **_paid(config, record.run_id),
        "requests": None if is_open else record.requests,
        "seconds": None if is_open else round(record.seconds, 1),
        "output": str(job.output),
        "summary": {**record.summary, "report": str(job.workspace.report)} if record.summary else None,
    }


def _rows_in_parts(job: Job) -> int:
    matches = [NAME.fullmatch(path.name) for path in job.workspace.parts.glob("*.arrow")]
    return sum(int(match[3]) - int(match[2]) for match in matches if match)


def _paid(config: Config, run: str) -> dict[str, Any]:
    """Return what *run* has paid for, according to the ledger."""
    with opened(config.state.dir) as store:
        totals = store.totals(run) if store else []
    paid = totals[0] if totals else None
    return {
        "answers": paid.answers if paid else 0,
        "prompt_tokens": paid.prompt_tokens if paid else 0,
        "completion_tokens": paid.completion_tokens if paid else 0,
        "cost_usd": paid.cost_usd if paid else None,
    }
