"""The commands as people see them: text on stderr, one JSON line on stdout."""

import asyncio
import logging
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline import api
from pipeline import explain as explaining
from pipeline.check import check_job
from pipeline.config import Config
from pipeline.ending import last_line, tell
from pipeline.errors import (
    CannotCreateError,
    NoInputError,
    ProviderUnavailableError,
    UsageError,
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


def run_options(
    limit: int | None, sample: int | None, seed: int | None, retry: str | None, *, overwrite: bool = False
) -> RunOptions:
    """Return what the command line adds to the config.

    Raises:
        UsageError: If it does not fit together.
    """
    if seed is not None and sample is None:
        raise UsageError("--seed: chooses the rows of --sample; give --sample N too, or leave --seed out")
    return RunOptions(limit, sample, seed or 0, _statuses(retry), overwrite)


def _statuses(text: str | None) -> frozenset[Status]:
    """Return the statuses that `--retry` names."""
    if text is None:
        return frozenset()
    if text == "all":
        return frozenset(Status)
    names = [name.strip() for name in text.split(",")]
    asked = [status for status in Status if status is not Status.EMPTY]
    if Status.EMPTY in names:
        raise UsageError("--retry: rows without text (empty) are never asked; leave that status out")
    unknown = [name for name in names if name not in asked]
    if unknown:
        raise UsageError(f"--retry: there is no status {unknown[0]!r}; there are {', '.join(asked)} and all")
    return frozenset(map(Status, names))


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


def check(config: Config) -> int:
    """Check everything that can be checked without sending."""
    rows = check_job(config).source.rows
    tell([f"{config.path}: all is well; {rows:,} rows to label"])
    last_line({"status": "ok", "rows": rows})
    return 0


def plan(config: Config, options: RunOptions) -> int:
    """Print what a run would send and cost."""
    found = api.plan(config, options)
    tell(plan_text(found, config))
    last_line(found.as_dict())
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
    tell([one_line(f"{each.name:20} {marks[each.works]:4} {each.detail}") for each in findings])
    last_line({finding.name.replace(" ", "_"): finding.works for finding in findings})
    answered = any(finding.works for finding in findings if finding.name in MODES)
    return 0 if answered else ProviderUnavailableError.exit_status


def status(config: Config) -> int:
    """Print where the latest run stands."""
    facts = explaining.status(config)
    tell(_pairs({name: value for name, value in facts.items() if name != "summary"}))
    last_line(facts)
    return 0


def explain(config: Config, row: str) -> int:
    """Print everything about one row."""
    found = explaining.explain(config, row)
    facts = found.as_dict()
    if found.prompt:
        tell(["--- system message", found.system, "--- request", found.body, "--- answer"])
    tell(_pairs(facts))
    last_line(facts)
    return 0


def ledger_stats(config: Config) -> int:
    """Print what each run has paid for."""
    with _stored(config) as store:
        totals = store.totals()
    for run_totals in totals:
        cost = "no price known" if run_totals.cost_usd is None else f"${run_totals.cost_usd:.4f}"
        tokens = f"{run_totals.prompt_tokens:,} prompt and {run_totals.completion_tokens:,} completion tokens"
        tell([f"{run_totals.run}: {run_totals.answers:,} answers, {tokens}, {cost}"])
    size = (config.state.dir / FILE).stat().st_size
    costs = [each.cost_usd for each in totals if each.cost_usd is not None]
    facts = {"answers": sum(each.answers for each in totals), "runs": len(totals), "bytes": size}
    last_line({**facts, "cost_usd": sum(costs) if costs else None})
    return 0


def ledger_export(config: Config, to: Path) -> int:
    """Write the ledger's answers to a Parquet file."""
    from pipeline.ledger.export import export  # noqa: PLC0415 - only this command needs pyarrow

    with _stored(config) as store:
        try:
            count = export(store, to)
        except OSError as error:
            raise CannotCreateError(f"{to}: cannot be written: {error}; choose another file") from error
    last_line({"answers": count, "file": str(to)})
    return 0


def ledger_prune(config: Config, days: float) -> int:
    """Delete old answers."""
    with _stored(config) as store:
        count = store.prune(time.time() - days * SECONDS_PER_DAY)
    tell([f"{count:,} answers deleted"])
    last_line({"deleted": count})
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
