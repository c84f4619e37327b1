"""`ledger stats`, `ledger export`, `ledger prune`: print what was paid for, exported and deleted."""

import sys
import time
from pathlib import Path

from pipeline.cli.console import print_lines, print_result
from pipeline.commands import ledger as command
from pipeline.config import Config
from pipeline.errors import UsageError
from pipeline.ledger.prune import Prunable

SECONDS_PER_DAY = 86_400


def stats(config: Config) -> int:
    """Print what each run has paid for."""
    found = command.stats(config)
    for run in found.runs:
        cost = "no price known" if run.cost_usd is None else f"${run.cost_usd:.4f}"
        tokens = f"{run.prompt_tokens:,} prompt and {run.completion_tokens:,} completion tokens"
        print_lines([f"{run.run}: {run.answers:,} answers, {tokens}, {cost}"])
    print_result(found.as_dict())
    return 0


def export(config: Config, to: Path, *, overwrite: bool) -> int:
    """Export the ledger's answers to a Parquet file, and print how many there are."""
    print_result({"answers": command.export(config, to, overwrite=overwrite), "file": str(to)})
    return 0


def prune(config: Config, days: float, *, yes: bool, dry_run: bool) -> int:
    """Delete answers that are older than *days*, if the user agrees, and print how many there were.

    Raises:
        UsageError: If there is nobody to ask.
    """
    before = time.time() - days * SECONDS_PER_DAY
    old = command.prunable(config, before)
    what = f"{old.answers:,} answers that are older than {days:g} days, {_worth(old)}"
    deletes = old.answers > 0 and not dry_run and (yes or _agrees(what))
    deleted = command.prune(config, before) if deletes else 0
    print_lines([f"{deleted:,} answers deleted" if deletes else f"nothing deleted; there are {what}"])
    print_result(
        {"deleted": deleted, "answers": old.answers, "cost_usd": old.cost_usd, "unpriced": old.unpriced}
    )
    return 0


def _worth(old: Prunable) -> str:
    if old.cost_usd is None:
        return "for which no price is known"
    if old.unpriced:
        return f"worth ${old.cost_usd:.4f} and the price of {old.unpriced:,} of them, which is not known"
    return f"worth ${old.cost_usd:.4f}"


def _agrees(what: str) -> bool:
    if not sys.stdin.isatty():
        raise UsageError(
            f"ledger prune: would delete for good {what}; add --yes to delete them, or --dry-run to only count them"
        )
    sys.stderr.write(
        f"Delete for good {what}? Rows that need them again are asked, and paid for, again. [y/N] "
    )
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}
