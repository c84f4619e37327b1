"""The commands `ledger stats`, `ledger export` and `ledger prune`, and their options."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.options import Commands, ConfigFile, Date, Overrides, ProviderName, load

ledger_app = Commands(help="Look after the ledger of paid answers.")


@ledger_app.command("stats")
def ledger_stats(
    config: ConfigFile, overrides: Overrides = None, provider: ProviderName = None, date: Date = None
) -> int:
    """Print what each run has paid for."""
    from pipeline.cli.ledger import stats  # noqa: PLC0415 - --help must not wait for it

    return stats(load(config, overrides, provider, date))


@ledger_app.command("export")
def ledger_export(
    config: ConfigFile,
    to: Annotated[Path, typer.Argument(metavar="FILE", help="The Parquet file to write.")],
    overwrite: Annotated[bool, typer.Option(help="Replace FILE even if it is no earlier export.")] = False,  # noqa: FBT002
    overrides: Overrides = None,
    provider: ProviderName = None,
    date: Date = None,
) -> int:
    """Write the newest answer of every key to a Parquet file."""
    from pipeline.cli.ledger import export  # noqa: PLC0415 - --help must not wait for it

    return export(load(config, overrides, provider, date), to, overwrite=overwrite)


@ledger_app.command("prune")
def ledger_prune(
    config: ConfigFile,
    older_than_days: Annotated[
        float, typer.Option(min=0, help="Delete answers that are older than so many days.")
    ],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask first.")] = False,  # noqa: FBT002
    dry_run: Annotated[  # noqa: FBT002
        bool, typer.Option("--dry-run", help="Delete nothing; print how many there are, and what they cost.")
    ] = False,
    overrides: Overrides = None,
    provider: ProviderName = None,
    date: Date = None,
) -> int:
    """Delete old answers for good, after a question. Rows that need them again are asked, and paid for, again."""
    from pipeline.cli.ledger import prune  # noqa: PLC0415 - --help must not wait for it

    return prune(load(config, overrides, provider, date), older_than_days, yes=yes, dry_run=dry_run)
