"""`report`: the page about the latest published run of a job, and the figures that it shows."""

import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson

from pipeline.commands.report.job_facts import job_facts, versions
from pipeline.commands.report.rows import examples
from pipeline.config import Config
from pipeline.errors import DiskError, LockedError, NoInputError, PipelineError
from pipeline.job.job import Job
from pipeline.job.kept.history import load_history
from pipeline.job.options import RunOptions
from pipeline.job.prepare import prepare
from pipeline.job.workspace import PUBLISHED
from pipeline.reports.page import page
from pipeline.system.atomic import write

SHOWN_RUNS = 14
"""Runs with which a run is compared, itself among them."""


def report(config: Config, options: RunOptions = RunOptions(), *, after_run: bool = False) -> Path:  # noqa: B008 - frozen
    """Draw the page about the latest published run of a job anew, and return its path; sends nothing.

    Args:
        config: The config.
        options: Which rows the run labelled.
        after_run: Whether the run that has just published waits for it, and holds the lock.

    Raises:
        NoInputError: If there was no such run.
        LockedError: If a run is in progress.
        PipelineError: If config, input or ledger are wrong.
    """
    with TemporaryDirectory(prefix="pipeline-report-") as folder:
        job = prepare(config, options, copies=Path(folder))
        if not job.workspace.report.exists():
            raise NoInputError(f"{job.workspace.folder}: no run has published yet; start one with `run`")
        with nullcontext() if after_run else job.workspace.locked():
            facts = collected(job, Path(folder), after_run=after_run)
            drawn = page(facts)
            # The run that waits for this may have been killed, and another one have published since.
            if _report_of(job)["run_id"] != facts["run_id"]:
                raise LockedError(f"{job.workspace.report}: another run has published meanwhile")
            try:
                write(job.workspace.report, orjson.dumps(facts, option=orjson.OPT_INDENT_2))
                write(job.workspace.page, drawn)
            except OSError as error:
                raise DiskError(f"{job.workspace.page}: {error}; make room or repair the disk") from error
    return job.workspace.page


def collected(job: Job, folder: Path, *, after_run: bool) -> dict[str, Any]:
    """Return the figures of the run's report, with all else that the page shows."""
    found = _report_of(job)
    run_id = found["run_id"]
    record = job.workspace.load()
    # The numbers of rows mean nothing in another input, nor do its texts in another task.
    # What is decided on the way belongs to the run once that is published.
    identity = job.identity if record is not None and record.status == PUBLISHED else job.undecided
    is_current = record is not None and (record.run_id, record.identity) == (run_id, identity)
    if is_current or "examples" not in found:
        found["examples"] = examples(job, found, folder, is_current=is_current, thorough=not after_run)
        found.update(_evaluated(job))
        found["suspects"] = _suspects(job, folder, is_current=is_current, asked_for=not after_run)
        found["job"] = job_facts(job)
    return {
        **found,
        "history": _history(job, found),
        "continued": found["requests"] > max(found["series"]["requests"], default=0),
        "versions": versions(),
        "drawn_at": round(time.time(), 3),
    }


def _report_of(job: Job) -> dict[str, Any]:
    path = job.workspace.report
    try:
        found: dict[str, Any] = orjson.loads(path.read_bytes())
        _ = found["run_id"], found["series"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DiskError(
            f"{path}: is no report of this version ({error}); a run with --retry writes a new one"
        ) from error
    return found


def _history(job: Job, found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return this run and those before it; one that is held back is in no history."""
    runs = load_history(job.workspace, job.task.fingerprint.hex(), job.options.selection)
    known = [asdict(run) for run in runs]
    if found.get("this_run") and found["run_id"] not in {run["run_id"] for run in known}:
        known.append(found["this_run"])
    last = next((at for at, run in enumerate(known, 1) if run["run_id"] == found["run_id"]), len(known))
    return known[max(0, last - SHOWN_RUNS) : last]


def _evaluated(job: Job) -> dict[str, Any]:
    """Return the evaluation against the right labels, or how to get one."""
    if job.config.task.gold is None:
        return _unknown(
            "Not known: no right labels are given. task.gold names a column with them; 200 rows to label by hand are drawn by "
            f"`{job.config.command('evaluate', '--make-gold', '200')}`."
        )
    if job.options.selection is not None:
        return _unknown(
            f"Only runs of the whole table are evaluated here; `{job.config.command('evaluate')}` does it at any time."
        )
    try:
        # Needs scikit-learn, which is an extra.
        found = import_module("pipeline.commands.evaluate").evaluate(job.config)
    except ImportError:
        return _unknown(
            "Not known: the evaluation needs scikit-learn; install it with pip install 'nano-pipeline[judge]', "
            f"then run `{job.config.command('report')}`."
        )
    except PipelineError as error:
        return _unknown(f"Not known: {error}")
    return {"evaluation": found.as_dict(), "evaluation_note": None}


def _suspects(job: Job, folder: Path, *, is_current: bool, asked_for: bool) -> dict[str, Any] | None:
    """Return what a student suspects; None if a run that waits for its report is not to wait for this, too."""
    if not is_current or not (asked_for or job.config.student):
        return None
    # Needs scikit-learn, which is an extra.
    found: dict[str, Any] | None = import_module("pipeline.commands.report.suspects").suspects(job, folder)
    return found


def _unknown(note: str) -> dict[str, Any]:
    return {"evaluation": None, "evaluation_note": note}
