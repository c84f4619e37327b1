"""What the first lines of a CSV file tell about how it is written."""

import re
from collections.abc import Sequence

_DELIMITERS = ";\t|,"
_LONG_NAME = 200
_YEARS = range(1500, 2200)


def other_delimiter(names: Sequence[str]) -> str | None:
    """Suggest a delimiter for a header that looks as if it was not split into its columns; None if it does not."""
    counts = {char: names[0].count(char) for char in _DELIMITERS} if len(names) == 1 else {}
    best = max(counts, key=lambda char: counts[char], default="")
    if not counts.get(best):
        return None
    return f"the header is one column {names[0]!r}; set csv.delimiter to {best!r}"


def told_delimiter(data: bytes) -> re.Match[bytes] | None:
    """Match the first line that Excel writes to name the delimiter, `sep=;`."""
    return re.match(rb'"?sep=(?P<delimiter>[\x01-\x7f])"?(?:\r\n|\n|\r|\Z)', data, re.IGNORECASE)


def row_of_data(names: Sequence[str]) -> str | None:
    """Return the first of *names* that looks like a cell of data: a number that is no year, or a long text."""
    return next((name for name in names if _is_number(name) or len(name) > _LONG_NAME), None)


def _is_number(name: str) -> bool:
    try:
        return float(name) not in _YEARS
    except ValueError:
        return False
