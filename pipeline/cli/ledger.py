"""`ledger stats`, `ledger export`, `ledger prune`: print what was paid for, exported and deleted."""

from pathlib import Path

from pipeline.cli.console import print_lines, print_result
from pipeline.commands import ledger as command
from pipeline.config import Config


def stats(config: Config) -> int:
    """Print what each run has paid for."""
    found = command.stats(config)
    for run in found.runs:
        cost = "no price known" if run.cost_usd is None else f"${run.cost_usd:.4f}"
        tokens = f"{run.prompt_tokens:,} prompt and {run.completion_tokens:,} completion tokens"
        print_lines([f"{run.run}: {run.answers:,} answers, {tokens}, {cost}"])
    print_result(found.as_dict())
    return 0


def export(config: Config, to: Path) -> int:
    """Export the ledger's answers to a Parquet file, and print how many there are."""
    print_result({"answers": command.export(config, to), "file": str(to)})
    return 0


def prune(config: Config, days: float) -> int:
    """Delete answers that are older than *days*, and print how many there were."""
    count = command.prune(config, days)
    print_lines([f"{count:,} answers deleted"])
    print_result({"deleted": count})
    return 0
