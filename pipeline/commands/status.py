"""`status`: where the latest run of a job stands, and all others below its state directory."""

from functools import reduce
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pipeline.commands.runs import all_facts, moment, rows_in_parts, status_of
from pipeline.config import Config
from pipeline.errors import InputDataError, NoInputError
from pipeline.job.job import Job
from pipeline.job.prepare import prepare
from pipeline.job.workspace import PUBLISHED, RunRecord
from pipeline.ledger import opened
from pipeline.ledger.store import RunTotals

NO_RUN = "no run"
"""Status of a job that has no run yet."""

NOTHING_PAID: dict[str, Any] = {"answers": 0, "prompt_tokens": 0, "completion_tokens": 0, "cost_usd": None}


def status(config: Config) -> dict[str, Any]:
    """Return where the latest run of *config* stands, and each other below its state directory as `runs`.

    Requests and seconds are None until the run is published, as its record does not count the execution that is
    running; what it has paid for so far comes from the ledger.

    Raises:
        NoInputError: If there was no run yet in the state directory.
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
    runs = list(all_facts(config.state.dir))
    if record is None and not runs:
        raise NoInputError(f"{job.workspace.folder}: no run yet; start one with `run`")
    return {**(_none(job) if record is None else _latest(config, job, record)), "runs": runs}


def _none(job: Job) -> dict[str, Any]:
    """Return what is to say of a job that has no run of its own, while the state directory has others."""
    return {
        "run_id": None,
        "status": NO_RUN,
        "current": False,
        **dict.fromkeys(("running_as", "started")),
        "rows": job.source.rows,
        "rows_done": 0,
        **NOTHING_PAID,
        **dict.fromkeys(("requests", "seconds")),
        "output": str(job.output),
        "summary": None,
    }


def _latest(config: Config, job: Job, record: RunRecord) -> dict[str, Any]:
    holder = job.workspace.holder()
    is_open = record.status != PUBLISHED
    return {
        "run_id": record.run_id,
        "status": status_of(record, holder),
        "current": record.identity == (job.identity if record.status == PUBLISHED else job.undecided),
        "running_as": holder,
        "started": moment(record.started_at),
        "rows": job.source.rows,
        "rows_done": rows_in_parts(job.workspace) if is_open else job.source.rows,
        **_paid(config, record),
        "requests": None if is_open else record.requests,
        "seconds": None if is_open else round(record.seconds, 1),
        "output": str(job.output),
        "summary": {**record.summary, "report": str(job.workspace.report)} if record.summary else None,
    }


def _paid(config: Config, record: RunRecord) -> dict[str, Any]:
    """Return what a run has paid for, according to the ledger, with those runs of its slices that it is the first to tell of."""
    slices = set(record.job.get("members", ())) - set(record.job.get("billed", ()))
    with opened(config.state.dir) as store:
        # All of them are found by one look at every answer.
        totals = store.totals(None if slices else record.run_id) if store else []
    paid = [each for each in totals if each.run in {record.run_id, *slices}]
    if not paid:
        return NOTHING_PAID
    total = reduce(RunTotals.plus, paid)
    return {
        "answers": total.answers,
        "prompt_tokens": total.prompt_tokens,
        "completion_tokens": total.completion_tokens,
        "cost_usd": total.cost_usd,
    }
