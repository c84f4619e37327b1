"""Tables and figures for people: with colours at a terminal, as plain lines elsewhere."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.cli.console import print_lines
from pipeline.telemetry.logs import one_line

SHOWN = 100
"""Characters of a text."""

BETWEEN, LEAST = 3, 12
"""Characters between two columns; to which a column is not cut further."""


@dataclass(frozen=True, slots=True)
class Table:
    """A small table.

    Attributes:
        title: What stands above it.
        columns: The names of its columns; those that begin with `>` are aligned to the right.
        rows: Its cells.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


def print_table(table: Table) -> None:
    """Print *table* to stderr."""
    if sys.stderr.isatty():
        _print_rich(table)
    else:
        print_lines(["", table.title, *_plain(table)])


def _plain(table: Table) -> list[str]:
    names = [name.removeprefix(">") for name in table.columns]
    rows = [names, *([one_line(cell) for cell in row] for row in table.rows)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(names))]
    right = [name.startswith(">") for name in table.columns]
    return [
        "  ".join(
            cell.rjust(width) if at_right else cell.ljust(width)
            for cell, width, at_right in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in rows
    ]


def _print_rich(table: Table) -> None:
    from rich import box  # noqa: PLC0415 - a pipe does not need it
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table as RichTable  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    found = RichTable(
        title=Text(table.title, "bold"), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False
    )
    for name in table.columns:
        at_right = name.startswith(">")
        found.add_column(
            Text(name.removeprefix(">")), justify="right" if at_right else "left", no_wrap=at_right
        )
    console = Console(stderr=True, highlight=False)
    for row in _fitted(table, console.width):
        found.add_row(*map(Text, row))  # as text: what a row says is no markup
    console.print(found)


def _fitted(table: Table, width: int) -> list[list[str]]:
    """Return the cells of *table*, those of its widest column of text cut so that each row takes one line, if that can be."""
    rows = [[one_line(cell) for cell in row] for row in table.rows]
    widths = [
        max([len(name), *(len(row[place]) for row in rows)]) for place, name in enumerate(table.columns)
    ]
    texts = [place for place, name in enumerate(table.columns) if not name.startswith(">")]
    widest = max(texts, key=lambda place: widths[place], default=0)
    spare = width - sum(widths) + widths[widest] - BETWEEN * len(widths)
    return [
        [short(cell, max(spare, LEAST)) if place == widest else cell for place, cell in enumerate(row)]
        for row in rows
    ]


def short(text: str, most: int = SHOWN) -> str:
    """Return *text* on one line, cut to *most* characters."""
    words = " ".join(text.split())
    return words if len(words) <= most else words[: most - 1] + "…"


def percent(share: float | None) -> str:
    """Return a share as people write it; a dash for None."""
    return "-" if share is None else f"{100 * share:.1f} %"


def figure(value: float | None, digits: int = 3) -> str:
    """Return *value* with a few digits; a dash for None."""
    return "-" if value is None else f"{value:.{digits}f}"


def usd(cost: float | None) -> str:
    """Return an amount of US dollars; what is said where it is not known."""
    if cost is None:
        return "no price known"
    return f"${cost:.4f}" if cost else "free"
