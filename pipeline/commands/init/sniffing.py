"""Guess how a CSV file is written. The intake, which is strict, judges the guesses on the whole file."""

import codecs
import csv
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from io import StringIO
from itertools import product

from pipeline.config import CsvSettings
from pipeline.inputs.intake.compression import Unpacked
from pipeline.inputs.intake.dialect import Dialect
from pipeline.inputs.intake.header import row_of_data, told_delimiter
from pipeline.system.places import Place

HEAD_BYTES = 1 << 18
_READ_BYTES = 1 << 16
_DELIMITERS = (None, ",", ";", "\t", "|")  # None: what the suffix says
_QUOTING: tuple[dict[str, str | None], ...] = ({}, {"escape": "\\"}, {"quote": None})
_TITLE_LINES = 3
_LONG_HEADER = 100
_LEAST_ROWS = 3


@dataclass(frozen=True, slots=True)
class _Reading:
    """What the head of a file is under some settings."""

    settings: CsvSettings
    rows: list[list[str]]

    @property
    def width(self) -> int:
        return len(self.rows[0])

    @property
    def is_prose(self) -> bool:
        """Whether most delimiters stand before a blank, as commas in sentences do."""
        behind = [cell.startswith(" ") for row in self.rows for cell in row[1:]]
        return 2 * sum(behind) > len(behind)

    @property
    def misses_quotes(self) -> bool:
        """Whether quotes were taken for characters like others, and most records have a cell that begins with one."""
        quoted = sum(any(cell.startswith('"') for cell in row) for row in self.rows)
        return self.settings.quote is None and 2 * quoted > len(self.rows)

    @property
    def is_usual(self) -> bool:
        """Whether it is what the suffix says."""
        return not self.settings.model_fields_set


def readings(path: Place, *, header: bool | None = None) -> list[CsvSettings]:
    """Return the ways in which the file at *path* may be written, the likeliest first; at least one.

    Args:
        path: A CSV file.
        header: Whether its first line names the columns; None to find out.
    """
    head, is_whole = _head(path)
    encodings = _encodings(head)
    text = head.decode(encodings[0], "replace").removeprefix("\ufeff")
    if told := told_delimiter(head.removeprefix(codecs.BOM_UTF8)):
        text = text[told.end() :]
    found = list(_readings(path, text, is_whole=is_whole))
    widest = sorted(found, key=_rank)
    ranked = [_with_header(each, header=header) for each in widest] or [CsvSettings()]
    return [_with(settings, encoding=each) for settings, each in product(ranked, encodings)]


def _rank(reading: _Reading) -> tuple[bool, int, bool, int]:
    return reading.width == 1, reading.settings.skip_lines, reading.is_prose, -reading.width


def _head(path: Place) -> tuple[bytes, bool]:
    """Return the first bytes of a file, unpacked, and whether they are all."""
    head = b""
    with suppress(OSError), closing(Unpacked(path)) as raw:
        while len(head) < HEAD_BYTES:
            if not (data := raw.read(_READ_BYTES)):
                return head, True
            head += data
    return head, False


def _encodings(head: bytes) -> list[str]:
    """Return the encodings in which a file may be, the likeliest first."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return ["utf-16"]
    if b"\0" in head[:2]:
        return ["utf-16-be" if head.startswith(b"\0") else "utf-16-le"]
    fitting = []
    for name in ("utf-8", "cp1252"):
        with suppress(UnicodeDecodeError):
            codecs.getincrementaldecoder(name)().decode(head)  # the head may end within a character
            fitting.append(name)
    return [*fitting, "latin-1"]  # which takes any bytes


def _readings(path: Place, text: str, *, is_whole: bool) -> Iterator[_Reading]:
    """Yield the settings under which all records have as many cells; lines are left out only if nothing is found without."""
    for skipped, comment in ((0, None), (0, "#"), *((lines, None) for lines in range(1, _TITLE_LINES + 1))):
        found = []
        for delimiter, quoting in product(_DELIMITERS, _QUOTING):
            settings = _settings(delimiter, comment, skipped, quoting)
            dialect = Dialect.of(path, settings)
            if delimiter is None or dialect != Dialect.of(path, _with(settings, delimiter=None)):
                rows = _records(dialect, text, skipped, is_whole=is_whole)
                found += [_Reading(settings, rows)] if rows and len(set(map(len, rows))) == 1 else []
        found = [each for each in found if not each.misses_quotes]
        yield from found
        if any(each.width > 1 or each.is_usual for each in found):
            return


def _settings(
    delimiter: str | None, comment: str | None, skipped: int, quoting: dict[str, str | None]
) -> CsvSettings:
    given = {"delimiter": delimiter, "comment": comment, "skip_lines": skipped or None}
    return CsvSettings.model_validate({**{k: v for k, v in given.items() if v is not None}, **quoting})


def _records(dialect: Dialect, text: str, skipped: int, *, is_whole: bool) -> list[list[str]]:
    """Return the records of *text*, but the last one if the text goes on; none if they cannot be parsed."""
    lines = StringIO(text, newline="")
    for _ in range(skipped):
        next(lines, None)
    kept = (line for line in lines if not (dialect.comment and line.startswith(dialect.comment)))
    rows: list[list[str]] = []
    try:
        rows.extend(row for row in dialect.rows(kept) if row)
    except csv.Error as error:
        if is_whole or "unexpected end" not in str(error):
            return []
        return rows
    return rows if is_whole else rows[:-1]


def _with_header(reading: _Reading, *, header: bool | None) -> CsvSettings:
    named = has_header(reading.rows) if header is None else header
    return reading.settings if named else _with(reading.settings, header=False)


def has_header(rows: Sequence[Sequence[str]]) -> bool:
    """Return whether the first of *rows* names the columns: a name is no number, is short, and is no value of its column."""
    first, others = rows[0], rows[1:]
    if row_of_data(first) or any(len(name) > _LONG_HEADER or "\n" in name for name in first):
        return False
    columns = [[row[place] for row in others if row[place]] for place in range(len(first))]
    if any(len(cells) >= _LEAST_ROWS and all(map(_is_number, cells)) for cells in columns):
        return True  # and its first cell is no number
    return not any(name and name in cells for name, cells in zip(first, columns, strict=True))


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _with(settings: CsvSettings, **changes: object) -> CsvSettings:
    return CsvSettings.model_validate({**settings.model_dump(exclude_unset=True), **changes})
