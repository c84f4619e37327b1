"""`run`: the summary of a run."""

import logging
import os
import sys
from pathlib import Path

from pipeline import api
from pipeline.config import Config
from pipeline.ending import last_line, tell
from pipeline.errors import LockedError, as_pipeline_error
from pipeline.job import RunOptions
from pipeline.logfile import kept
from pipeline.logs import configure
from pipeline.result import RunResult
from pipeline.show.metrics import ensured, write_metrics
from pipeline.watch import Bar, Both, Log


def run(
    config: Config,
    options: RunOptions,
    *,
    quiet: bool,
    progress: bool,
    json_log: bool,
    metrics_file: Path | None = None,
) -> int:
    """Run the job; prints the summary and the JSON line."""
    bar = progress and not quiet and sys.stderr.isatty()
    configure(json_lines=json_log, level=logging.WARNING if quiet or bar else logging.INFO)
    metrics = metrics_file and ensured(metrics_file)
    with kept(config.state.dir / "log.jsonl", job=config.path.stem, pid=os.getpid()) as history:
        history.info("begins: %s", config.output.path)
        try:
            result = api.run(config, options, watch=Both(Bar(), Log()) if bar else Log(), handle_signals=True)
        except BaseException as error:
            failure = as_pipeline_error(error)
            history.error("%s", failure, extra={"facts": {"exit_status": failure.exit_status}})
            if metrics and not isinstance(failure, LockedError):  # the run that has the lock will tell
                write_metrics(metrics, config.path.stem, failure.exit_status)
            raise
        history.info("ends: %s", result.status, extra={"facts": result.as_dict()})
        if metrics:
            write_metrics(metrics, config.path.stem, result.exit_status, result)
    if not quiet or result.exit_status:
        tell(summary(result, config))
    last_line(result.as_dict())
    return result.exit_status


def summary(result: RunResult, config: Config) -> list[str]:
    """Return the closing lines of a run, for people."""
    failed = f"{result.failed:,} failed" + (f" (see {result.report})" if result.failed else "")
    is_rehearsal = config.model.provider == "simulate"
    if result.again:
        failed += "; finished before, nothing was sent"
    lines = [
        f"{result.rows:,} rows: {result.ok:,} labelled, {failed}",
        f"{result.requests:,} requests ({result.retries:,} repeated); {result.reused:,} answers reused, {result.duplicates:,} duplicate rows",
        f"{result.prompt_tokens:,} prompt and {result.completion_tokens:,} completion tokens, {_cost(result)}, {result.seconds:.1f} s",
        f"output: {result.output}",
    ]
    if is_rehearsal:
        hint = "; add --retry all to rehearse these rows once more" if not result.requests else ""
        lines.append(f"a rehearsal: the labels mean nothing, and no money was spent{hint}")
    if result.exit_status:
        lines.append(
            f"more rows failed than limits.max_failed allows ({config.limits.max_failed}); see label_error"
        )
    return lines


def _cost(result: RunResult) -> str:
    if not result.requests and not result.cost_usd:
        return "nothing to pay"
    if result.cost_usd is None:
        return "no price known"
    source = f" by the {result.cost_source}'s price" if result.cost_source else ""
    return f"${result.cost_usd:.4f}{source}"
