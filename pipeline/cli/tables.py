"""Tables and figures for people, for a terminal of any width; texts in them cannot move its cursor."""

import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from unicodedata import combining, east_asian_width

from pipeline.cli.console import print_lines
from pipeline.figures import NONE
from pipeline.telemetry.logs import one_line

SHOWN = 100
"""Characters of a text."""

LEAST = 8
"""Columns that a cell keeps, however narrow the terminal is."""


def width() -> int:
    """Return how many columns there are to print in: the terminal's, or 100 in a file or a pipe."""
    return shutil.get_terminal_size((100, 24)).columns if sys.stderr.isatty() else 100


def cells(text: str) -> int:
    """Return how many columns *text* takes at a terminal."""
    return len(text) if text.isascii() else sum(map(_cells, text))


def _cells(character: str) -> int:
    return 0 if combining(character) else 2 if east_asian_width(character) in "WF" else 1


def fitted(text: str, room: int) -> str:
    """Return *text* as a line of exactly *room* columns, with an ellipsis where it was cut."""
    line = one_line(" ".join(text.split()))
    if cells(line) > room:
        while cells(line) > room - 1:
            # Halved as long as it is far too long: a cell may be a whole book.
            line = line[: len(line) // 2] if len(line) > 4 * room else line[:-1]
        line += "…"
    return line + " " * (room - cells(line))


def table_lines(
    heads: Sequence[str], rows: Sequence[Sequence[str]], *, wide: int, right: Sequence[int] = ()
) -> list[str]:
    """Return the lines of a table.

    Args:
        heads: The name of each column; "" for all if the table needs no names.
        rows: The cells.
        wide: The column that takes the room that the others leave, and gives way first.
        right: The columns whose cells stand at their right.
    """
    heads_and_rows = [heads, *rows] if any(heads) else rows
    plain = [[one_line(" ".join(cell.split())) for cell in row] for row in heads_and_rows]
    widths = [max(map(cells, column)) for column in zip(*plain, strict=True)]
    spare = width() - 1 - 2 * len(widths) - sum(widths)
    # The others are cut as well where the wide column alone cannot give way far enough.
    for column in (wide, *sorted(range(len(widths)), key=lambda n: -widths[n])):
        cut = min(-spare, widths[column] - LEAST)
        if spare < 0 < cut:
            widths[column] -= cut
            spare += cut
    return ["  " + "  ".join(_cell(cell, widths[n], to_right=n in right) for n, cell in enumerate(row)).rstrip() for row in plain]  # fmt: skip


def _cell(text: str, room: int, *, to_right: bool) -> str:
    line = fitted(text, room)
    return line.rstrip().rjust(room - cells(line.rstrip()) + len(line.rstrip())) if to_right else line


def bar(share: float, room: int) -> str:
    """Return a bar of at most *room* columns that is *share* of it long, to half a column."""
    if not (sys.stderr.encoding or "").lower().startswith("utf"):
        return "#" * round(share * room)
    halves = max(round(share * room * 2), 1 if share else 0)
    return "━" * (halves // 2) + "╸" * (halves % 2)


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
    """Print *table* to stderr; of its columns of text the widest takes what room there is."""
    names = [name.removeprefix(">") for name in table.columns]
    right = [place for place, name in enumerate(table.columns) if name.startswith(">")]
    sizes = [sum(len(row[place]) for row in table.rows) for place in range(len(names))]
    wide = max(range(len(names)), key=lambda place: (place not in right, sizes[place]))
    print_lines(["", table.title, *table_lines(names, table.rows, wide=wide, right=right)])


def short(text: str, most: int = SHOWN) -> str:
    """Return *text* on one line, cut to *most* characters."""
    words = " ".join(text.split())
    return words if len(words) <= most else words[: most - 1] + "…"


def figure(value: float | None, digits: int = 3) -> str:
    """Return *value* with a few digits; a dash for None."""
    return NONE if value is None else f"{value:.{digits}f}"
