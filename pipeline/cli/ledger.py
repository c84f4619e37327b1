"""The commands about what is kept: `ledger ...` about the answers, `batch ...` about what is under way at the provider."""

import logging
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.console import is_json_lines, print_lines, print_result
from pipeline.cli.options import Commands, ConfigFile, Date, Overrides, RunProvider, load
from pipeline.errors import UsageError
from pipeline.figures import usd

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.commands.batch.command import Shown
    from pipeline.config import Config
    from pipeline.ledger.prune import Prunable

SECONDS_PER_DAY = 86_400

ledger_app = Commands(help="Look after the ledger of paid answers.")


@ledger_app.command("stats")
def ledger_stats(
    config: ConfigFile, overrides: Overrides = None, provider: RunProvider = None, date: Date = None
) -> int:
    """Print what each run has paid for."""
    return _stats(load(config, overrides, provider, date))


@ledger_app.command("export")
def ledger_export(
    config: ConfigFile,
    to: Annotated[Path, typer.Argument(metavar="FILE", help="The Parquet file to write.")],
    overwrite: Annotated[bool, typer.Option(help="Replace FILE even if it is no earlier export.")] = False,  # noqa: FBT002
    overrides: Overrides = None,
    provider: RunProvider = None,
    date: Date = None,
) -> int:
    """Write the newest answer of every key to a Parquet file."""
    return _export(load(config, overrides, provider, date), to, overwrite=overwrite)


@ledger_app.command("prune")
def ledger_prune(
    config: ConfigFile,
    older_than_days: Annotated[
        float, typer.Option(min=0, metavar="DAYS", help="Delete answers that are older than this.")
    ],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask first.")] = False,  # noqa: FBT002
    dry_run: Annotated[  # noqa: FBT002
        bool, typer.Option("--dry-run", help="Delete nothing; print how many there are, and what they cost.")
    ] = False,
    overrides: Overrides = None,
    provider: RunProvider = None,
    date: Date = None,
) -> int:
    """Delete old answers for good, once that is confirmed. Rows that need them again are asked, and paid for, again."""
    return _prune(load(config, overrides, provider, date), older_than_days, yes=yes, dry_run=dry_run)


@ledger_app.command("reslice")
def ledger_reslice(
    config: ConfigFile,
    count: Annotated[
        int, typer.Argument(metavar="N", min=1, help="How many slices; 1 makes one file of them.")
    ],
    overrides: Overrides = None,
    provider: RunProvider = None,
    date: Date = None,
) -> int:
    """Cut the ledger into N slices for `run --slice`, or cut it anew. Asks nothing; every answer is kept."""
    from pipeline.commands.slices import reslice  # noqa: PLC0415 - --help must not wait for it

    print_result({"slices": count, "answers": reslice(load(config, overrides, provider, date), count)})
    return 0


def _stats(config: "Config") -> int:
    """Print what each run has paid for."""
    from pipeline.commands.ledger import stats  # noqa: PLC0415 - --help must not wait for it

    found = stats(config)
    for run in found.runs:
        cost = usd(run.cost_usd, "no price known")
        tokens = f"{run.prompt_tokens:,} prompt and {run.completion_tokens:,} completion tokens"
        print_lines([f"{run.run}: {run.answers:,} answers, {tokens}, {cost}"])
    print_result(found.as_dict())
    return 0


def _export(config: "Config", to: Path, *, overwrite: bool) -> int:
    """Export the ledger's answers to a Parquet file, and print how many there are."""
    from pipeline.commands.ledger import export  # noqa: PLC0415 - as above

    print_result({"answers": export(config, to, overwrite=overwrite), "file": str(to)})
    return 0


def _prune(config: "Config", days: float, *, yes: bool, dry_run: bool) -> int:
    """Delete answers that are older than *days*, if the user agrees, and print how many there were.

    Raises:
        UsageError: If there is nobody to ask.
    """
    from pipeline.commands import ledger as command  # noqa: PLC0415 - as above

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


def _worth(old: "Prunable") -> str:
    if old.cost_usd is None:
        return "for which no price is known"
    if old.unpriced:
        return f"worth {usd(old.cost_usd)} and the price of {old.unpriced:,} of them, which is not known"
    return f"worth {usd(old.cost_usd)}"


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


batch_app = Commands(help="Look after the batches that are under way (model.lane: batch).")


@batch_app.command("list")
def batch_list(
    config: ConfigFile, overrides: Overrides = None, provider: RunProvider = None, date: Date = None
) -> int:
    """Say which batches are under way, and how far each is. `run` fetches those that have ended."""
    from pipeline.commands.batch.command import batches  # noqa: PLC0415 - --help must not wait for it

    _show_warnings()
    return _print_batches(batches(load(config, overrides, provider, date)))


@batch_app.command("cancel")
def batch_cancel(
    config: ConfigFile,
    forget: Annotated[  # noqa: FBT002
        bool,
        typer.Option(
            "--forget",
            help="Forget those that the endpoint does not know any more; their rows are asked, and paid for, again.",
        ),
    ] = False,
    overrides: Overrides = None,
    provider: RunProvider = None,
    date: Date = None,
) -> int:
    """End the batches that are under way. What they have answered by then is paid; the next `run` fetches it."""
    from pipeline.commands.batch.command import cancel  # noqa: PLC0415 - --help must not wait for it

    _show_warnings()
    return _print_batches(cancel(load(config, overrides, provider, date), forget=forget))


def _show_warnings() -> None:
    from pipeline.telemetry.logs import configure  # noqa: PLC0415 - --help must not wait for it

    configure(json_lines=is_json_lines(), level=logging.WARNING)


def _print_batches(found: "Sequence[Shown]") -> int:
    for each in found:
        done = "" if each.done is None else f", {each.done:,} done"
        print_lines(
            [f"{each.batch or each.intent}: {each.status}, {each.rows:,} rows{done}; since {each.since}"]
        )
    if not found:
        print_lines(["no batch is under way"])
    print_result({"batches": [each.as_dict() for each in found]})
    return 0
