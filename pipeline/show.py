"""The commands as people see them: text on stderr, one JSON line on stdout."""

import asyncio
import logging
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import orjson

from pipeline import api
from pipeline import explain as explaining
from pipeline.check import check_job
from pipeline.config import Config
from pipeline.errors import (
    CannotCreateError,
    DiskError,
    InterruptedRunError,
    NoInputError,
    ProviderUnavailableError,
    UsageError,
    as_pipeline_error,
)
from pipeline.job import RunOptions
from pipeline.ledger import FILE, opened
from pipeline.ledger.store import Store
from pipeline.logs import configure, one_line
from pipeline.plan import Plan
from pipeline.records import Status
from pipeline.result import RunResult
from pipeline.watch import Bar, Log, Silent, Watcher

SECONDS_PER_DAY = 86_400


def statuses(text: str | None) -> frozenset[Status]:
    """Return the statuses that `--retry` names.

    Raises:
        UsageError: If one does not exist.
    """
    if text is None:
        return frozenset()
    if text == "all":
        return frozenset(Status)
    names = [name.strip() for name in text.split(",")]
    unknown = [name for name in names if name not in set(Status)]
    if unknown:
        raise UsageError(f"--retry: there is no status {unknown[0]!r}; there are {', '.join(Status)} and all")
    return frozenset(map(Status, names))


def run(config: Config, options: RunOptions, *, quiet: bool, progress: bool, json_log: bool) -> int:
    """Run the job; prints the summary and the JSON line, also when it stops early."""
    configure(json_lines=json_log, level=logging.WARNING if quiet else logging.INFO)
    try:
        result = api.run(config, options, watch=_watcher(quiet=quiet, progress=progress), handle_signals=True)
    except Exception as error:
        failure = as_pipeline_error(error)
        status = "interrupted" if isinstance(failure, InterruptedRunError) else "error"
        _json({"status": status, "error": failure.problems[0]})
        raise
    if not quiet or result.exit_status:
        _tell(summary(result, config))
    _json(result.as_dict())
    return result.exit_status


def _watcher(*, quiet: bool, progress: bool) -> Watcher:
    if quiet:
        return Silent()
    return Bar() if progress and sys.stderr.isatty() else Log()


def summary(result: RunResult, config: Config) -> list[str]:
    """Return the closing lines of a run, for people."""
    failed = f"{result.failed:,} failed" + (f" (see {result.report})" if result.failed else "")
    cost = (
        "no price known"
        if result.cost_usd is None
        else f"${result.cost_usd:.4f}"
        + (f" by the {result.cost_source}'s price" if result.cost_source else "")
    )
    if result.again:
        failed += "; finished before, nothing was sent"
    lines = [
        f"{result.rows:,} rows: {result.ok:,} labelled, {failed}",
        f"{result.requests:,} requests ({result.retries:,} repeated); {result.reused:,} answers reused, {result.duplicates:,} duplicate rows",
        f"{result.prompt_tokens:,} prompt and {result.completion_tokens:,} completion tokens, {cost}, {result.seconds:.1f} s",
        f"output: {result.output}",
    ]
    if result.exit_status:
        lines.append(
            f"more rows failed than limits.max_failed allows ({config.limits.max_failed}); see label_error"
        )
    return lines


def check(config: Config) -> int:
    """Check everything that can be checked without sending."""
    rows = check_job(config).source.rows
    _tell([f"{config.path}: all is well; {rows:,} rows to label"])
    _json({"status": "ok", "rows": rows})
    return 0


def plan(config: Config, options: RunOptions) -> int:
    """Print what a run would send and cost."""
    found = api.plan(config, options)
    _tell(plan_text(found, config))
    _json(found.as_dict())
    return 0


def plan_text(found: Plan, config: Config) -> list[str]:
    """Return a plan's lines, for people."""
    cost = (
        "no price known"
        if found.cost_usd is None
        else f"about ${found.cost_usd:.4f} (price from {found.cost_source})"
    )
    limit = getattr(config.limits, found.bound)
    return [
        f"{found.rows:,} rows, {found.empty:,} of them empty; {found.prompts:,} different prompts",
        f"{found.answered:,} are answered already; {found.requests:,} requests would be sent",
        f"about {found.prompt_tokens:,} prompt and {found.completion_tokens:,} completion tokens, {cost}",
        f"about {duration(found.seconds)} at limits.{found.bound} = {limit:,}",
    ]


def duration(seconds: float) -> str:
    """Return *seconds* as people say it."""
    if seconds < 120:  # noqa: PLR2004
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"  # noqa: PLR2004


def probe(config: Config) -> int:
    """Print what the endpoint supports."""
    # Only this command needs them.
    from pipeline.llm.providers.body import MODES  # noqa: PLC0415
    from pipeline.probe import probe as ask  # noqa: PLC0415

    findings = asyncio.run(ask(config))
    marks = {True: "yes", False: "no", None: "?"}
    _tell([f"{finding.name:20} {marks[finding.works]:4} {finding.detail}" for finding in findings])
    _json({finding.name.replace(" ", "_"): finding.works for finding in findings})
    answered = any(finding.works for finding in findings if finding.name in MODES)
    return 0 if answered else ProviderUnavailableError.exit_status


def status(config: Config) -> int:
    """Print where the latest run stands."""
    facts = explaining.status(config)
    _tell(_pairs({name: value for name, value in facts.items() if name != "summary"}))
    _json(facts)
    return 0


def explain(config: Config, row: str) -> int:
    """Print everything about one row."""
    found = explaining.explain(config, row)
    facts = found.as_dict()
    if found.prompt:
        _tell(["--- system message", found.system, "--- request", found.body, "--- answer"])
    _tell(_pairs(facts))
    _json(facts)
    return 0


def ledger_stats(config: Config) -> int:
    """Print what each run has paid for."""
    with _stored(config) as store:
        totals = store.totals()
    for run_totals in totals:
        cost = "no price known" if run_totals.cost_usd is None else f"${run_totals.cost_usd:.4f}"
        tokens = f"{run_totals.prompt_tokens:,} prompt and {run_totals.completion_tokens:,} completion tokens"
        _tell([f"{run_totals.run}: {run_totals.answers:,} answers, {tokens}, {cost}"])
    size = (config.state.dir / FILE).stat().st_size
    costs = [each.cost_usd for each in totals if each.cost_usd is not None]
    facts = {"answers": sum(each.answers for each in totals), "runs": len(totals), "bytes": size}
    _json({**facts, "cost_usd": sum(costs) if costs else None})
    return 0


def ledger_export(config: Config, to: Path) -> int:
    """Write the ledger's answers to a Parquet file."""
    from pipeline.ledger.export import export  # noqa: PLC0415 - only this command needs pyarrow

    with _stored(config) as store:
        try:
            count = export(store, to)
        except OSError as error:
            raise CannotCreateError(f"{to}: cannot be written: {error}; choose another file") from error
    _json({"answers": count, "file": str(to)})
    return 0


def ledger_prune(config: Config, days: float) -> int:
    """Delete old answers."""
    with _stored(config) as store:
        count = store.prune(time.time() - days * SECONDS_PER_DAY)
    _tell([f"{count:,} answers deleted"])
    _json({"deleted": count})
    return 0


@contextmanager
def _stored(config: Config) -> Iterator[Store]:
    with opened(config.state.dir) as store:
        if store is None:
            raise NoInputError(
                f"{config.state.dir / FILE}: there is no ledger yet; it comes with the first run"
            )
        yield store


def _pairs(facts: Mapping[str, Any]) -> list[str]:
    return [f"{name:18} {one_line(str(value))}" for name, value in facts.items() if value is not None]


def _tell(lines: Iterable[str]) -> None:
    with suppress(OSError, AttributeError):  # stderr may be closed, or a pipe that nobody reads any more
        for line in lines:
            sys.stderr.write(line + "\n")


def _json(facts: Mapping[str, Any]) -> None:
    """Print the last line of stdout.

    Raises:
        DiskError: If it goes to a file that cannot be written; a pipe that nobody reads is nobody's loss.
    """
    try:
        sys.stdout.write(orjson.dumps(facts).decode() + "\n")
        sys.stdout.flush()
    except (BrokenPipeError, AttributeError):
        pass
    except OSError as error:
        raise DiskError(f"stdout: {error}; make room") from error
