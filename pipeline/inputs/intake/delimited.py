"""CSV and TSV: pyarrow parses whole records, and nothing that the standard library's strict reader would refuse.

pyarrow alone silently accepts a record that ends in the wrong place: an open quote swallows all rows up to the next quote.
So a pattern matches all records that are sound first, and what it stops at goes to the strict reader: it tells a
fault from a record that goes on in the next block.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NoReturn

import pyarrow as pa

from pipeline.config import CsvSettings
from pipeline.errors import InputDataError
from pipeline.inputs.intake.dialect import BOM, Dialect, Lines
from pipeline.inputs.intake.encoding import BadByteError, Bytes, as_utf8
from pipeline.inputs.intake.fault import line_ends, quote_fault, width_fault
from pipeline.inputs.intake.header import other_delimiter, told_delimiter
from pipeline.system.places import Place

# Whole records that are parsed at once: fewer bytes are slower, more exceed the processor's cache.
_BLOCK_BYTES = 2 << 20
_RECORD_BYTES = 256 << 20  # the longest record; reading it takes a few times as much memory
_OTHER_ENCODING = "set csv.encoding (latin-1, cp1252, utf-16), or write the file again as UTF-8"


def tables(
    path: Place,
    raw: Bytes,
    settings: CsvSettings,
    *,
    block_bytes: int = _BLOCK_BYTES,
    record_bytes: int = _RECORD_BYTES,
) -> Iterator[pa.Table]:
    """Yield the rows of a file, all cells as text; see `Format`.

    Args:
        path: Its path, for messages and for what its suffix says.
        raw: Its bytes.
        settings: How it is written.
        block_bytes: Bytes to read at a time, which is about the size of a table.
        record_bytes: Longest record that is accepted.
    """
    text = as_utf8(raw, settings.encoding)
    return _Scan(path, settings, Dialect.of(path, settings), text, block_bytes, record_bytes).tables()


@dataclass(slots=True)
class _Scan:
    """The scan of one file; tracks its position for the error messages."""

    path: Place
    settings: CsvSettings
    dialect: Dialect
    text: Bytes
    block_bytes: int
    record_bytes: int
    rest: bytes = b""
    offset: int = 0  # of `rest` in the text, in bytes of UTF-8
    line: int = 1  # of the first byte of `rest`
    rows: int = 0
    more: bool = True  # whether there may be bytes behind `rest`

    def tables(self) -> Iterator[pa.Table]:
        names = self._names()
        yield pa.table([pa.array([], pa.string())] * len(names), names)
        try:
            for table in self._parsed(len(names)):
                yield table.rename_columns(names)
        except InputDataError as error:
            if self.settings.header and (hint := other_delimiter(names)):
                raise InputDataError(f"{error}; {hint}") from error
            raise

    def _read(self) -> None:
        """Append a block to `rest`, or as much as is there: so going over a long record again stays linear."""
        size = max(self.block_bytes, len(self.rest))
        try:
            data = self.text.read(size)
            while data.endswith(b"\r") and (byte := self.text.read(1)):  # never split \r\n
                data += byte
        except BadByteError as error:
            what = f"{error} is not in {self.settings.encoding}; {_OTHER_ENCODING}"
            self._refuse(f"row {self.rows}: {what}", line_ends(self.rest))
        self.rest += data
        self.more = bool(data)

    def _take(self, size: int) -> bytes:
        """Remove *size* bytes from the front of `rest` and return them."""
        taken, self.rest = self.rest[:size], self.rest[size:]
        self.offset += size
        self.line += line_ends(taken)
        return taken

    def _names(self) -> list[str]:
        self._read()
        if self.rest.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in self.rest[:2]:
            raise InputDataError(f"{self.path}: looks like UTF-16; set csv.encoding to utf-16")
        self._take(len(BOM) if self.rest.startswith(BOM) else 0)
        if told := told_delimiter(self.rest):
            self._take(told.end())
            if self.settings.delimiter is None:
                self.dialect = replace(self.dialect, delimiter=told["delimiter"].decode())
        for _ in range(self.settings.skip_lines):
            self._take(self._first_line())
        first, size = self._first_record()
        if not self.settings.header:
            columns = self.settings.columns or [f"column_{number}" for number in range(1, len(first) + 1)]
            return list(columns)
        if not first:
            self._refuse("header: there is none, or a quote in it is left open; name the columns in line 1")
        self._take(size)
        try:
            return [name.encode("latin-1").decode() for name in first]
        except UnicodeDecodeError as error:
            what = f"byte 0x{error.object[error.start]:02X} is no UTF-8; {_OTHER_ENCODING}"
            self._refuse(f"header: {what}", -1)

    @property
    def _said_by(self) -> str:
        """What tells the number of cells."""
        if self.settings.header:
            return "the header"
        return "csv.columns" if self.settings.columns else "the first row"

    def _first_line(self) -> int:
        """Return the size of the line at the beginning of `rest`, its end included."""
        while self.more and not line_ends(self.rest):
            self._read()
        return Lines(self.rest).size(1)

    def _first_record(self) -> tuple[list[str], int]:
        """Return the first record that is not blank, as Latin-1, with its end in `rest`; no cells if there is none."""
        while True:
            lines = Lines(self.rest, self.dialect.comment)
            rows = self.dialect.rows(lines)
            try:
                for row in rows:
                    lines.ended()
                    end = lines.size(rows.line_num)
                    if row and (end < len(self.rest) or not self.more):
                        return row, end
            except csv.Error as error:
                if not _is_open(error):
                    self._refuse(f"header: {error}; the first line names the columns")
            if not self.more or len(self.rest) > self.record_bytes:
                return [], 0
            self._read()

    def _parsed(self, width: int) -> Iterator[pa.Table]:
        """Yield the records in tables of about `block_bytes`."""
        pattern = self.dialect.records(width)
        while self.rest or self.more:
            # The end of the last whole line: what is behind it may go on in the next block.
            end = max(self.rest.rfind(b"\n"), self.rest.rfind(b"\r")) + 1 if self.more else len(self.rest)
            data = self.rest[:end]
            if self.dialect.is_plain(data):
                sound = len(data)
            else:
                found = pattern.match(data) if pattern else None
                sound = found.end() if found else 0
            records, end, rows = data[:sound], sound, None
            if sound < len(data):
                more_records, taken, count = self._strictly(data[sound:], width, line_ends(records))
                records, end, rows = records + more_records, sound + taken, None if sound else count
            if records:
                yield self._table(records, width, rows)
            self._take(end)
            if len(self.rest) > self.record_bytes:
                self._refuse(
                    f"the record is longer than {self.record_bytes >> 20} MiB; is a quote left open?"
                )
            if self.more:
                self._read()

    def _strictly(self, data: bytes, width: int, above: int) -> tuple[bytes, int, int]:
        """Return the whole records of *data* without comments, their end in it, and their number.

        Raises InputDataError if one is malformed; *above* is the number of lines between `line` and *data*.
        """
        lines = Lines(data, self.dialect.comment)
        records = self.dialect.rows(lines)
        rows = taken = 0
        try:
            for row in records:
                if row and len(row) != width:
                    self._refuse(
                        width_fault(len(row), width, self._said_by),
                        above + line_ends(data[: lines.size(taken)]),
                    )
                rows, taken = rows + bool(row or width == 1), records.line_num
                lines.ended()
        except csv.Error as error:
            if self.more and _is_open(error):
                return lines.first(taken), lines.size(taken), rows
            end, bad = lines.size(taken), lines.size(records.line_num)
            before, what = quote_fault(self.dialect, data[end:bad].decode("latin-1"))
            self._refuse(what, above + line_ends(data[:end]) + before)
        return lines.first(taken), len(data), rows

    def _table(self, records: bytes, width: int, rows: int | None) -> pa.Table:
        try:
            table = self.dialect.parse(records, width)
        except pa.ArrowInvalid as error:
            self._refuse_records(records, width, error)
        if rows is not None and table.num_rows != rows:
            self._refuse(f"{rows} records are read as {table.num_rows}; please report it, or write Parquet")
        self.rows += table.num_rows
        return table

    def _refuse_records(self, data: bytes, width: int, error: pa.ArrowInvalid) -> NoReturn:
        """Locate the record that has another width, or whose bytes are not UTF-8."""
        bad, end, count = _first_invalid(data), 0, 0
        lines = Lines(data)
        for row in (rows := self.dialect.rows(lines)):
            begin, end = end, lines.size(rows.line_num)
            if bad is not None and end > bad:
                what = f"byte 0x{data[bad]:02X} at {self.offset + bad} is no UTF-8; {_OTHER_ENCODING}"
                self._refuse(f"row {self.rows + count}: {what}", line_ends(data[:bad]))
            if row and len(row) != width:
                self._refuse(width_fault(len(row), width, self._said_by), line_ends(data[:begin]))
            count += bool(row or width == 1)
        self._refuse(f"cannot be parsed ({' '.join(str(error).split())}); write the file again")

    def _refuse(self, what: str, lines: int = 0) -> NoReturn:
        raise InputDataError(f"{self.path}:{self.line + lines}: {what}")


def _is_open(error: csv.Error) -> bool:
    """Return whether a record only lacked its end."""
    return "unexpected end" in str(error)


def _first_invalid(data: bytes) -> int | None:
    """Return the place of the first byte that is not UTF-8."""
    try:
        data.decode()
    except UnicodeDecodeError as error:
        return error.start
    return None
