"""`review` and `report`: print the rows that a person should look at, and draw the page about a run."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.console import print_lines, print_result
from pipeline.cli.options import (
    ConfigFile,
    Date,
    LimitOfRun,
    Overrides,
    RunProvider,
    SampleOfRun,
    SeedOfRun,
    load,
    run_options,
)
from pipeline.cli.tables import Table, print_table, short
from pipeline.figures import percent

if TYPE_CHECKING:  # `--help` must not wait for what judges
    from pipeline.commands.review import Review
    from pipeline.commands.suspects import Suspicions

MOST_PAIRS = 10
"""So many contradicting pairs are printed; the JSON line has all."""

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
    provider: RunProvider = None,
    date: Date = None,
) -> int:
    """Show rows to look at: failed, unsure or probably mislabelled."""
    loaded = load(config, overrides, provider, date)
    from pipeline.commands import review as command  # noqa: PLC0415

    found = command.review(loaded, top)
    if csv is not None:
        command.save(found, csv)
    if found.rows:
        print_table(_table(found))
    for table in _suspected(found.suspects):
        print_table(table)
    lines = [f"{found.answered:,} rows have an answer: {found.failed:,} failed, {found.unsure:,} are unsure"]
    if not found.sure:
        lines.append("no row has a confidence: the endpoint tells no log-probabilities")
    if found.suspects.note:
        lines.append(found.suspects.note)
    if csv is not None:
        lines.append(f"written to {csv}")
    print_lines(["", *lines])
    print_result(found.as_dict())
    return 0


def _table(found: "Review") -> Table:
    """Return the rows as a table, without the columns that say the same of all of them."""
    rows = [
        [short(each.id or str(each.row), 28), each.status, percent(each.confidence), short(", ".join(each.label), 30), short(each.text, 60), short(each.why, 60)]
        for each in found.rows
    ]  # fmt: skip
    names = ["row", "status", ">sure", "label", "text", "why"]
    kept = [
        place
        for place, name in enumerate(names)
        if name in {"row", "text"} or len({row[place] for row in rows}) > 1
    ]
    alike = [
        f"{names[place].removeprefix('>')} {rows[0][place]}"
        for place in range(len(names))
        if place not in kept and rows[0][place]
    ]
    title = f"To look at, all with {', '.join(alike)}" if alike and len(rows) > 1 else "To look at"
    kept = kept if len(rows) > 1 else list(range(len(names)))
    return Table(title, [names[place] for place in kept], [[row[place] for place in kept] for row in rows])


def _suspected(found: "Suspicions") -> Iterator[Table]:
    """Yield what there is to suspect as tables."""
    if found.rows:
        yield Table(
            "Probably mislabelled: another label fits better, from all that the other answers tell",
            ["row", ">score", "label", "rather", "text", "like it, with another label"],
            [
                [
                    short(each.seen.id or str(each.seen.row), 28), f"{each.score:.2f}", _labels(each.seen.label), _labels(each.proposed),
                    short(each.seen.text, 50),
                    short(f"{_labels(each.near.label)}: {each.near.text}", 50) if each.near else "",
                ]
                for each in found.rows
            ],
        )  # fmt: skip
    if found.pairs:
        yield Table(
            "Nearly the same text, but another label",
            [">alike", "row", "label", "row", "label", "text"],
            [
                [
                    percent(each.alike), short(each.one.id or str(each.one.row), 28), _labels(each.one.label),
                    short(each.other.id or str(each.other.row), 28), _labels(each.other.label), short(each.one.text, 50),
                ]
                for each in found.pairs[:MOST_PAIRS]
            ],
        )  # fmt: skip


def _labels(names: Sequence[str]) -> str:
    return short(", ".join(names) or "no label", 24)


OpenIt = Annotated[bool, typer.Option("--open", help="Show the page in the browser.")]


def report(
    config: ConfigFile,
    open_it: OpenIt = False,  # noqa: FBT002 - a command's options are its arguments
    overrides: Overrides = None,
    provider: RunProvider = None,
    date: Date = None,
    limit: LimitOfRun = None,
    sample: SampleOfRun = None,
    seed: SeedOfRun = None,
) -> int:
    """Draw the report of the latest run anew, and print where it is. Sends nothing.

    A run draws it by itself when it ends; later, it may have right labels or rows to show that it had not.
    """
    # What only the running command needs is imported here: --help must not wait for it.
    import webbrowser  # noqa: PLC0415

    from pipeline.commands.report.command import report as command  # noqa: PLC0415

    page = command(load(config, overrides, provider, date), run_options(limit, sample, seed, None))
    print_lines([f"report: {page}"])
    print_result({"status": "done", "report": str(page)})
    if open_it and not webbrowser.open(page.as_uri()):
        print_lines(["no browser was found; open the page by its path"])
    return 0
