"""How a CSV file writes its cells, as the standard library's reader and pyarrow's are told."""

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.csv as pa_csv

from pipeline.config import CsvSettings
from pipeline.errors import ConfigError
from pipeline.inputs.intake.compression import kind_of
from pipeline.system.places import Place

if TYPE_CHECKING:
    from _csv import Reader

BOM = b"\xef\xbb\xbf"
_LONGEST_CELL = 1 << 30  # the record's length is bounded elsewhere


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a file writes its cells; each of these is one ASCII character, or None where the file knows none.

    Attributes:
        delimiter: Between two cells.
        quote: Around a cell that holds delimiters or line breaks; doubled inside of it.
        escape: Takes its meaning from the character behind it.
        comment: Begins a line that is no record.
    """

    delimiter: str
    quote: str | None
    escape: str | None
    comment: str | None

    @classmethod
    def of(cls, path: Place, settings: CsvSettings) -> "Dialect":
        """Complete the settings from the file's suffix.

        Raises:
            ConfigError: If they are not different ASCII characters.
        """
        by_suffix = "\t" if kind_of(path) == ".tsv" else ","
        delimiter = settings.delimiter or by_suffix
        found = cls(delimiter, settings.quote, settings.escape, settings.comment)
        for key in ("delimiter", "quote", "escape", "comment"):
            value = getattr(found, key)
            if value is not None and not value.isascii():
                raise ConfigError(f"{path}: csv.{key} is {value!r}; give an ASCII character")
        for key in ("quote", "escape", "comment"):
            if getattr(found, key) == delimiter:
                raise ConfigError(
                    f"{path}: csv.{key} is {delimiter!r}, the delimiter of this file; set csv.delimiter"
                )
        return found

    def is_plain(self, data: bytes) -> bool:
        """Return whether each line of *data* is a record, and each delimiter in it ends a cell."""
        return not any(char and char.encode() in data for char in (self.quote, self.escape, self.comment))

    def records(self, width: int) -> re.Pattern[bytes] | None:
        """Return a pattern that matches as many whole records of *width* cells as possible; None if that takes a reader.

        Blank lines between them are skipped, except in a table of one column, where they are records. Possessive
        quantifiers (`*+`) never backtrack, so that matching takes linear time and constant memory on any bytes.
        """
        if self.escape or self.comment:
            return None
        comma, end = re.escape(self.delimiter.encode()), rb"(?:\r\n|\n|\r)"
        cell = rb"[^%s\r\n]*+" % comma
        if self.quote:
            quote = re.escape(self.quote.encode())
            text = rb"[^%s]*+" % quote
            cell = rb"(?:%s%s(?:%s%s%s)*+%s|(?!%s)%s)" % (quote, text, quote, quote, text, quote, quote, cell)
        record = cell + b"(?:%s%s){%d}" % (comma, cell, width - 1) + end
        return re.compile(b"(?:%s%s)*+" % (record, b"" if width == 1 else b"|" + end))

    def rows(self, lines: Iterable[str], *, strict: bool = True) -> "Reader":
        """Parse lines into cells, a blank line into none; its `line_num` is the number of lines of what it has yielded.

        Raises:
            csv.Error: If a quoted cell goes on behind its closing quote, or is open at the end; only if *strict*.
        """
        csv.field_size_limit(_LONGEST_CELL)
        return csv.reader(
            lines,
            delimiter=self.delimiter,
            quotechar=self.quote,
            escapechar=self.escape,
            quoting=csv.QUOTE_MINIMAL if self.quote else csv.QUOTE_NONE,
            strict=strict,
        )

    def parse(self, data: bytes, width: int) -> pa.Table:
        """Parse whole records into a table of strings, whose columns are named by their numbers from 0.

        An empty cell is a null, a quoted empty cell an empty string.

        Raises:
            pa.ArrowInvalid: If the records have another width or are not UTF-8.
        """
        names = [str(number) for number in range(width)]
        if self.escape and (null := self.escape.encode() + b"N") in data:  # MySQL's null, not an escaped N
            ends = b"[%s\r\n]" % re.escape(self.delimiter.encode())
            data = re.sub(rb"(?:(?<=%s)|\A)%s(?=%s|\Z)" % (ends, re.escape(null), ends), b"", data)
        # pyarrow strips a BOM from all data that it parses, even where it is text: so a second one is added.
        source = BOM + data if data.startswith(BOM) else data
        return pa_csv.read_csv(
            pa.BufferReader(source),
            pa_csv.ReadOptions(use_threads=False, block_size=len(source) + 1, column_names=names),
            pa_csv.ParseOptions(
                delimiter=self.delimiter,
                quote_char=self.quote or False,
                escape_char=self.escape or False,
                newlines_in_values=True,
                ignore_empty_lines=width > 1,
            ),
            pa_csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()),
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )


class Lines:
    """The lines of some bytes, as Latin-1, for a reader that takes them one by one; those of comments are left out.

    Latin-1 has a character for each byte, so that all places are right; what the bytes mean does not matter to a reader.
    """

    def __init__(self, data: bytes, comment: str | None = None) -> None:
        self._data, self._comment = data, comment and comment.encode()
        self._all = data.splitlines(
            keepends=True
        )  # other than that of a string, it knows \n, \r and \r\n only
        self._given: list[
            int
        ] = []  # numbers of the lines that were given; kept only where there may be comments
        self._within = False
        self._ends: list[int] = []

    def __iter__(self) -> Iterator[str]:
        """Yield the lines; a comment can only stand where `ended` was called since the last line."""
        return self._without_comments(self._comment) if self._comment else map(_latin1, self._all)

    def _without_comments(self, comment: bytes) -> Iterator[str]:
        for number, line in enumerate(self._all):
            if self._within or not line.startswith(comment):
                self._given.append(number)
                self._within = True
                yield _latin1(line)

    def ended(self) -> None:
        """Note that the line given last ended a record."""
        self._within = False

    def size(self, count: int) -> int:
        """Return how many bytes the first *count* given lines take, with the comments between them."""
        if self._comment:
            count = self._given[count - 1] + 1 if count else 0
        if count == len(self._all):
            return len(self._data)
        self._ends = self._ends or list(accumulate(map(len, self._all), initial=0))
        return self._ends[count]

    def first(self, count: int) -> bytes:
        """Return the first *count* given lines."""
        if self._comment:
            return b"".join(self._all[number] for number in self._given[:count])
        return self._data[: self.size(count)]


def _latin1(line: bytes) -> str:
    return line.decode("latin-1")
