"""`run`: the summary of a run."""

import logging
import sys

from pipeline import api
from pipeline.config import Config
from pipeline.ending import last_line, tell
from pipeline.job import RunOptions
from pipeline.logs import configure
from pipeline.result import RunResult
from pipeline.watch import Bar, Log, Silent, Watcher


def run(config: Config, options: RunOptions, *, quiet: bool, progress: bool, json_log: bool) -> int:
    """Run the job; prints the summary and the JSON line."""
    configure(json_lines=json_log, level=logging.WARNING if quiet else logging.INFO)
    result = api.run(config, options, watch=_watcher(quiet=quiet, progress=progress), handle_signals=True)
    if not quiet or result.exit_status:
        tell(summary(result, config))
    last_line(result.as_dict())
    return result.exit_status


def _watcher(*, quiet: bool, progress: bool) -> Watcher:
    if quiet:
        return Silent()
    return Bar() if progress and sys.stderr.isatty() else Log()


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
