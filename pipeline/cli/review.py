"""`review`: print the rows that a person should look at."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.console import print_lines, print_result
from pipeline.cli.options import ConfigFile, Date, Overrides, ProviderName, load
from pipeline.cli.tables import Table, print_table, short
from pipeline.figures import percent

Top = Annotated[int, typer.Option("--top", min=1, metavar="N", help="How many rows.")]
CsvFile = Annotated[
    Path | None,
    typer.Option("--csv", metavar="FILE", help="Write the rows, with their whole text, to a CSV file, too."),
]


def review(
    config: ConfigFile,
    top: Top = 100,
    csv: CsvFile = None,
    overrides: Overrides = None,
    provider: ProviderName = None,
    date: Date = None,
) -> int:
    """Show the rows that need a look: the failed ones first, then the least sure. Sends nothing."""
    loaded = load(config, overrides, provider, date)
    from pipeline.commands import review as command  # noqa: PLC0415

    found = command.review(loaded, top)
    if csv is not None:
        command.save(found, csv)
    rows = [
        [short(each.id or str(each.row), 28), each.status, percent(each.confidence), short(", ".join(each.label), 30), short(each.text, 60), short(each.why, 60)]
        for each in found.rows
    ]  # fmt: skip
    if rows:
        print_table(Table("To look at", ["row", "status", ">sure", "label", "text", "why"], rows))
    lines = [f"{found.answered:,} rows have an answer: {found.failed:,} failed, {found.unsure:,} are unsure"]
    if not found.sure:
        lines.append("no row has a confidence: the endpoint tells no log-probabilities")
    if csv is not None:
        lines.append(f"written to {csv}")
    print_lines(["", *lines])
    print_result(found.as_dict())
    return 0
