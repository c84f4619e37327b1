"""`run`: run the job, log how it went, and print its summary."""

import logging
import os
import sys

from pipeline import api
from pipeline.cli.console import print_lines, print_result
from pipeline.config import Config
from pipeline.errors import as_pipeline_error
from pipeline.job.job import RunOptions
from pipeline.summary import RunResult
from pipeline.telemetry.logfile import log_file
from pipeline.telemetry.logs import configure, show_from_info_on
from pipeline.telemetry.progress import Bar, Log, Tee
from pipeline.telemetry.prometheus import MetricsFile

TOO_MANY = "more rows failed than limits.max_failed allows ({}); see label_error"


def run(
    config: Config,
    options: RunOptions,
    metrics: MetricsFile,
    *,
    quiet: bool,
    progress: bool,
    json_log: bool,
) -> int:
    """Run the job, and print its summary and its result."""
    bar = progress and not quiet and not json_log and sys.stderr.isatty()
    configure(json_lines=json_log, level=logging.WARNING if quiet or bar else logging.INFO)
    if bar:  # it begins later
        show_from_info_on("pipeline.inputs")
    with log_file(config.state.dir / "log.jsonl", job=config.path.stem, pid=os.getpid()) as history:
        history.info("begins: %s", config.output.path)
        try:
            result = api.run(config, options, watch=Tee(Bar(), Log()) if bar else Log(), handle_signals=True)
        except BaseException as error:
            failure = as_pipeline_error(error)
            facts = {"exit_status": failure.exit_status}
            history.error("ends: %s", "; ".join(failure.problems), extra={"facts": facts})
            raise
        facts = {**result.as_dict(), "exit_status": result.exit_status}
        if result.exit_status:
            history.error("ends: %s", TOO_MANY.format(config.limits.max_failed), extra={"facts": facts})
        else:
            history.info("ends: %s", result.status, extra={"facts": facts})
    metrics.write(result.exit_status, result)
    if not quiet or result.exit_status:
        print_lines(summary(result, config))
    print_result(result.as_dict())
    return result.exit_status


def summary(result: RunResult, config: Config) -> list[str]:
    """Return the lines that describe the result of a run to people."""
    failed = f"{result.failed:,} failed" + (f" (see {result.report})" if result.failed else "")
    more = {"unsure": result.unsure, "empty": result.empty, "pending": result.pending}
    others = "".join(f", {count:,} {name}" for name, count in more.items() if count)
    is_rehearsal = config.model.provider == "simulate"
    if result.again:
        failed += "; finished before, nothing was sent"
    lines = [
        f"{result.rows:,} rows: {result.ok:,} labelled{others}, {failed}",
        f"{result.requests:,} requests ({result.retries:,} repeated); {result.reused:,} answers reused, {result.duplicates:,} duplicate rows",
        f"{result.prompt_tokens:,} prompt and {result.completion_tokens:,} completion tokens, {_cost(result)}, {result.seconds:.1f} s",
        f"output: {result.output}",
    ]
    if result.side:
        cost = "" if result.side.cost_usd is None else f", ${result.side.cost_usd:.4f}"
        lines.insert(3, f"beside the rows: {result.side.requests:,} requests of the canary{cost}")
    if is_rehearsal:
        hint = "; add --retry all to rehearse these rows once more" if not result.requests else ""
        lines.append(f"a rehearsal: the labels mean nothing, and no money was spent{hint}")
    if result.exit_status:
        lines.append(TOO_MANY.format(config.limits.max_failed))
    return lines


def _cost(result: RunResult) -> str:
    if not result.requests and not result.cost_usd:
        return "nothing to pay"
    if result.cost_usd is None:
        return "no price known"
    source = f" by the {result.cost_source}'s price" if result.cost_source else ""
    return f"${result.cost_usd:.4f}{source}"
