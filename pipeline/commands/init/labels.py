"""The labels of a proposed task: from a column of the table, from a template, or as they were given."""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pipeline.commands.init.columns import Cell
from pipeline.commands.init.templates import Label
from pipeline.config.values import CONTROL
from pipeline.errors import InputDataError

FEWEST, MOST, LONGEST = 2, 1000, 200
"""What the config takes."""


@dataclass(frozen=True, slots=True)
class Found:
    """The labels in a column.

    Attributes:
        names: The labels, the most frequent first.
        rows: Rows that have one.
        most: Most labels in a row.
        left_out: What cannot be a label, or is one in another spelling.
    """

    names: tuple[str, ...]
    rows: int
    most: int
    left_out: tuple[str, ...]


def labels_in(column: str, values: Iterable[Cell | Sequence[Cell]]) -> Found:
    """Return the labels in a *column* with these *values*.

    Raises:
        InputDataError: If there are too few or too many.
    """
    counts: Counter[str] = Counter()
    rows = most = 0
    for value in values:
        found = {
            each.strip()
            for each in ([value] if isinstance(value, str | None) else value)
            if each and each.strip()
        }
        counts.update(found)
        rows, most = rows + bool(found), max(most, len(found))
        if len(counts) > 100 * MOST:
            break
    names: dict[str, str] = {}
    left_out = []
    for name, _ in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])):
        if CONTROL.search(name) or len(name) > LONGEST or folded(name) in names:
            left_out.append(name)
        else:
            names[folded(name)] = name
    if not FEWEST <= len(names) <= MOST:
        many = "more than " if len(names) > MOST else ""
        raise InputDataError(
            f"column {column!r} has {many}{min(len(names), MOST):,} different labels; a job takes {FEWEST} to {MOST:,}: "
            "give another column, or --labels a,b,c"
        )
    return Found(tuple(names.values()), rows, most, tuple(left_out))


def described(names: Iterable[str], known: Iterable[Label]) -> tuple[Label, ...]:
    """Return *names* as labels, with the descriptions that are *known* of some."""
    by_name = {folded(label.name): label.description for label in known}
    return tuple(Label(name, by_name.get(folded(name), "")) for name in names)


def folded(name: str) -> str:
    """Return what two spellings of a label have in common."""
    return "".join(unicodedata.normalize("NFKC", name).casefold().split())
