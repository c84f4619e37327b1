"""The grammar of CSV records as regular expressions over bytes, and what is wrong with a record that does not match.

pyarrow silently accepts a record that ends in the wrong place: an open quote swallows all rows up to the next quote.
So the shape of every record is checked here first, at about 600 MB/s, and pyarrow only parses whole records.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.config import CsvSettings
from pipeline.errors import ConfigError

BOM = b"\xef\xbb\xbf"
_LINE_END = rb"(?:\r\n|\n|\r)"
_DELIMITERS = ";\t|,"


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a file writes its cells.

    Attributes:
        delimiter: One ASCII byte.
        quote: One ASCII byte.
        encoding: A name that Python's codecs know.
    """

    delimiter: bytes
    quote: bytes
    encoding: str

    @classmethod
    def of(cls, path: Path, settings: CsvSettings) -> "Dialect":
        """Complete the settings from the file's suffix.

        Raises:
            ConfigError: If delimiter and quote are not two different ASCII characters.
        """
        by_suffix = "\t" if path.name.lower().removesuffix(".gz").endswith(".tsv") else ","
        delimiter = settings.delimiter or by_suffix
        for key, value in (("delimiter", delimiter), ("quote", settings.quote)):
            if not value.isascii():
                raise ConfigError(f"{path}: csv.{key} is {value!r}; give an ASCII character")
        if delimiter == settings.quote:
            raise ConfigError(
                f"{path}: csv.quote is {delimiter!r}, the delimiter of this file; set csv.delimiter"
            )
        return cls(delimiter.encode(), settings.quote.encode(), settings.encoding)


@dataclass(frozen=True, slots=True)
class Grammar:
    """The records of one table.

    Attributes:
        records: Matches as many whole records as possible; blank lines between them are skipped, except in a
            table of one column, where a blank line is a record with an empty cell.
        beginning: Matches bytes that further bytes can complete to a record.
        cell: Matches one cell; fails at a quote that is never closed.
        width: Number of columns.
    """

    records: re.Pattern[bytes]
    beginning: re.Pattern[bytes]
    cell: re.Pattern[bytes]
    width: int


def grammar(dialect: Dialect, width: int) -> Grammar:
    """Build the grammar of records with *width* cells.

    Possessive quantifiers (`*+`) never backtrack, so that matching takes linear time and constant memory on any bytes.
    """
    comma, cell = re.escape(dialect.delimiter), _cell(dialect)
    record = cell + b"(?:%s%s){%d}" % (comma, cell, width - 1) + _LINE_END
    blank = b"" if width == 1 else b"|" + _LINE_END
    start = b"(?:%s%s){0,%d}" % (cell, comma, width - 1)
    return Grammar(
        records=re.compile(b"(?:%s%s)*+" % (record, blank)),
        beginning=re.compile(start + b"(?:%s|%s)" % (cell, _open_cell(dialect))),
        cell=re.compile(cell),
        width=width,
    )


def header(dialect: Dialect) -> re.Pattern[bytes]:
    """Build the pattern of the header: the group `names` is the first line that is not blank."""
    comma, cell = re.escape(dialect.delimiter), _cell(dialect)
    return re.compile(
        b"(?:%s)?[\r\n]*+(?P<names>%s(?:%s%s)*+)(?:%s|\\Z)" % (BOM, cell, comma, cell, _LINE_END)
    )


def fault(rest: bytes, rules: Grammar, dialect: Dialect) -> tuple[int, str]:
    """Diagnose the record at the beginning of *rest*.

    Returns the number of lines from the record's first one to the fault, and one sentence with the remedy.
    """
    at, count = 0, 0
    while cell := rules.cell.match(rest, at):
        at, count = cell.end(), count + 1
        if rest[at : at + 1] != dialect.delimiter:
            break
        at += 1
    else:
        return _lines(rest[:at]), (
            f"cell {count + 1} of the record opens a quote that nothing closes; "
            "close it, double a quote inside a cell, or set csv.quote"
        )
    if rest[at : at + 1] in (b"", b"\r", b"\n"):
        return 0, (
            f"the record has {count} cell{'s' * (count > 1)} where the header has {rules.width}; "
            "quote cells that hold the delimiter or a line break, or set csv.delimiter"
        )
    return _lines(rest[: cell.start()]), (
        f"cell {count} of the record goes on behind its closing quote (line break or text inside an open quote?); "
        "close it, double a quote inside a cell, or set csv.quote"
    )


def other_delimiter(names: Sequence[str]) -> str | None:
    """Suggest a delimiter for a header that looks as if it was not split into its columns; None if it does not."""
    counts = {char: names[0].count(char) for char in _DELIMITERS} if len(names) == 1 else {}
    best = max(counts, key=lambda char: counts[char], default="")
    if not counts.get(best):
        return None
    return f"the header is one column {names[0]!r}; set csv.delimiter to {best!r}"


def _cell(dialect: Dialect) -> bytes:
    quote, comma = re.escape(dialect.quote), re.escape(dialect.delimiter)
    return b"(?:%s%s|(?!%s)[^%s\r\n]*+)" % (_open_cell(dialect), quote, quote, comma)


def _open_cell(dialect: Dialect) -> bytes:
    """Return the pattern of a quoted cell up to its closing quote, exclusive."""
    quote = re.escape(dialect.quote)
    return b"%s[^%s]*+(?:%s%s[^%s]*+)*+" % (quote, quote, quote, quote, quote)


def _lines(text: bytes) -> int:
    return text.count(b"\n") or text.count(b"\r")
