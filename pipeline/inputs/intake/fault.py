"""Word what is wrong with a CSV record, and find the cell and the line."""

import csv
from io import StringIO

from pipeline.inputs.intake.dialect import Dialect

_QUOTES = "close it, double a quote inside a cell, or set csv.quote"


def width_fault(count: int, width: int, said_by: str) -> str:
    """Say that a record has another number of cells than *said_by*, such as the header."""
    return (
        f"the record has {count} cell{'s' * (count > 1)} where {said_by} has {width}; "
        "quote cells that hold the delimiter or a line break, or set csv.delimiter"
    )


def quote_fault(dialect: Dialect, record: str) -> tuple[int, str]:
    """Diagnose a record that the strict reader refuses.

    Returns the number of lines from the record's first one to the faulty cell, and one sentence with the remedy.
    """
    if (end := _refused_at(dialect, record)) is None:
        cells = next(iter(dialect.rows(StringIO(record, newline=""), strict=False)), [""])
        what = f"opens a quote that nothing closes; {_QUOTES}"
    else:
        cells = next(iter(dialect.rows(StringIO(record[:end], newline=""))))
        what = f"goes on behind its closing quote (line break or text inside an open quote?); {_QUOTES}"
        if '\\"' in record and dialect.escape is None:
            what = (
                'goes on behind a quote that a backslash stands before; set csv.escape to "\\\\" '
                f"if it takes the quote's meaning, or {_QUOTES}"
            )
    before = sum(line_ends(cell.encode("latin-1")) for cell in cells[:-1])
    return before, f"cell {len(cells)} of the record {what}"


def _refused_at(dialect: Dialect, record: str) -> int | None:
    """Return the place of the character that the strict reader refuses; None if only the end is missing."""
    if not _is_refused(dialect, record):
        return None
    good, bad = 0, len(record)
    while bad - good > 1:
        middle = (good + bad) // 2
        good, bad = (good, middle) if _is_refused(dialect, record[:middle]) else (middle, bad)
    return good


def _is_refused(dialect: Dialect, text: str) -> bool:
    try:
        for _ in dialect.rows(StringIO(text, newline="")):
            pass
    except csv.Error as error:
        return "unexpected end" not in str(error)
    return False


def line_ends(text: bytes) -> int:
    """Count the line ends of a text that knows one kind of them."""
    return text.count(b"\n") or text.count(b"\r")
