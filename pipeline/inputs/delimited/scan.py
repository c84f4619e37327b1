"""Scan a CSV file once before anything is sent: header, shape of every record, encoding, number of rows."""

import csv
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv

from pipeline.config import CsvSettings
from pipeline.errors import InputDataError
from pipeline.inputs.delimited.grammar import BOM, Dialect, Grammar, fault, grammar, header, other_delimiter
from pipeline.inputs.delimited.text_stream import BadByteError, TextStream, open_text
from pipeline.inputs.source import Block, Contents

# Whole records that are parsed at once: fewer bytes are slower, more exceed the processor's cache.
_BLOCK_BYTES = 2 << 20
_RECORD_BYTES = 256 << 20  # the longest record; reading it takes a few times as much memory


def inspect(
    path: Path, settings: CsvSettings, *, block_bytes: int = _BLOCK_BYTES, record_bytes: int = _RECORD_BYTES
) -> Contents:
    """Check a whole file; see `Format`.

    Args:
        path: The file.
        settings: How it is written.
        block_bytes: Bytes to read at a time, which is about the size of a block.
        record_bytes: Longest record that is accepted.
    """
    dialect = Dialect.of(path, settings)
    try:
        stream = open_text(path, dialect.encoding)
        try:
            return _Scan(path, dialect, stream, block_bytes, record_bytes).contents()
        finally:
            stream.close()
    except (EOFError, zlib.error, OSError) as error:
        raise InputDataError(
            f"{path}: cannot be read to its end ({error}); write or copy it again"
        ) from error


def parse(data: bytes, dialect: Dialect, width: int, columns: list[int] | None = None) -> pa.Table:
    """Parse whole records into a table of strings, whose columns are named by their numbers from 0.

    An empty cell is a null, a quoted empty cell an empty string.

    Args:
        data: The records as UTF-8.
        dialect: How they are written.
        width: Number of columns.
        columns: Numbers of the columns to return; None for all.

    Raises:
        pa.ArrowInvalid: If the records have another width or are not UTF-8.
    """
    names = [str(number) for number in range(width)]
    # pyarrow strips a BOM from all data that it parses, even where it is text: so a second one is added.
    source = BOM + data if data.startswith(BOM) else data
    return pa_csv.read_csv(
        pa.BufferReader(source),
        pa_csv.ReadOptions(use_threads=False, block_size=len(source) + 1, column_names=names),
        pa_csv.ParseOptions(
            delimiter=dialect.delimiter.decode(),
            quote_char=dialect.quote.decode(),
            newlines_in_values=True,
            ignore_empty_lines=width > 1,
        ),
        pa_csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            include_columns=None if columns is None else [str(number) for number in columns],
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )


@dataclass(slots=True)
class _Scan:
    """The scan of one file; tracks its position for the error messages."""

    path: Path
    dialect: Dialect
    stream: TextStream
    block_bytes: int
    record_bytes: int
    rest: bytes = b""
    offset: int = 0  # of `rest` in the stream
    line: int = 1  # of the first byte of `rest`
    rows: int = 0

    def contents(self) -> Contents:
        names = self._header()
        rules = grammar(self.dialect, len(names))
        try:
            blocks = tuple(self._block(data, len(names)) for data in self._whole_records(rules))
        except InputDataError as error:
            if hint := other_delimiter(names):
                raise InputDataError(f"{error}; {hint}") from error
            raise
        schema = pa.schema([(name, pa.string()) for name in names])
        return Contents(schema, tuple(block for block in blocks if block.rows), repr(self.dialect))

    def _read(self, size: int) -> bool:
        """Append up to *size* bytes to `rest`; return whether there were any."""
        try:
            data = self.stream.read(size)
            while data.endswith(b"\r") and (byte := self.stream.read(1)):  # never split \r\n
                data += byte
        except BadByteError as error:
            what = f"{error} is not in {self.dialect.encoding}; {_OTHER_ENCODING}"
            raise self._bad(f"row {self.rows}: ", self.rest.count(b"\n"), what) from error
        self.rest += data
        return bool(data)

    def _take(self, size: int) -> bytes:
        """Remove *size* bytes from the front of `rest` and return them."""
        taken, self.rest = self.rest[:size], self.rest[size:]
        self.offset += size
        self.line += taken.count(b"\n") or taken.count(b"\r")
        return taken

    def _header(self) -> list[str]:
        pattern = header(self.dialect)
        while self._read(self.block_bytes):
            if self.rest.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in self.rest[:2]:
                raise InputDataError(f"{self.path}: looks like UTF-16; set csv.encoding to utf-16")
            if (found := pattern.match(self.rest)) and found.end() < len(self.rest):
                break
        found = pattern.match(self.rest)
        if not found or not found["names"]:
            raise self._bad(
                "header: ", 0, "there is none, or a quote in it is left open; name the columns in line 1"
            )
        self._take(found.end())
        return self._names(found["names"])

    def _names(self, line: bytes) -> list[str]:
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            what = f"byte 0x{line[error.start]:02X} is no UTF-8; {_OTHER_ENCODING}"
            raise self._bad("header: ", -1, what) from error
        delimiter, quote = self.dialect.delimiter.decode(), self.dialect.quote.decode()
        try:
            return next(csv.reader(StringIO(text, newline=""), delimiter=delimiter, quotechar=quote))
        except csv.Error as error:
            raise self._bad("header: ", -1, f"{error}; the first line names the columns") from error

    def _whole_records(self, rules: Grammar) -> Iterator[bytes]:
        """Yield the records in pieces of about `block_bytes`."""
        more = True
        while True:
            if end := _end(rules.records, self.rest):
                yield self._take(end)
            if self.rest and not (more and rules.beginning.fullmatch(self.rest)):
                raise self._bad("", *fault(self.rest, rules, self.dialect))
            if len(self.rest) > self.record_bytes:
                raise self._bad(
                    "", 0, f"the record is longer than {self.record_bytes >> 20} MiB; is a quote left open?"
                )
            if not more:
                return
            # Doubling the buffer keeps the rescanning of a long record linear in its length.
            more = self._read(max(self.block_bytes, len(self.rest)))
            if not more and self.rest and not self.rest.endswith((b"\n", b"\r")):
                self.rest += b"\n"

    def _block(self, data: bytes, width: int) -> Block:
        """Parse whole records, to count them and to find now what pyarrow refuses."""
        offset = self.offset - len(data)
        try:
            rows = parse(data, self.dialect, width).num_rows
        except pa.ArrowInvalid as error:
            raise self._refused(data, offset, width, error) from error
        self.rows += rows
        return Block(self.rows - rows, rows, offset, len(data))

    def _refused(self, data: bytes, offset: int, width: int, error: pa.ArrowInvalid) -> InputDataError:
        """Locate the row whose bytes are not UTF-8."""
        self.line -= data.count(b"\n") or data.count(b"\r")
        try:
            data.decode()
        except UnicodeDecodeError as bad:
            before = data[: bad.start]
            rules = grammar(self.dialect, width)
            whole = before[: _end(rules.records, before)]
            self.rows += parse(whole, self.dialect, width).num_rows if whole else 0
            what = f"byte 0x{data[bad.start]:02X} at {offset + bad.start} is no UTF-8"
            return self._bad(f"row {self.rows}: ", before.count(b"\n"), f"{what}; {_OTHER_ENCODING}")
        return self._bad("", 0, f"cannot be parsed ({' '.join(str(error).split())}); write the file again")

    def _bad(self, where: str, lines: int, what: str) -> InputDataError:
        return InputDataError(f"{self.path}:{self.line + lines}: {where}{what}")


_OTHER_ENCODING = "set csv.encoding (latin-1, cp1252, utf-16), or write the file again as UTF-8"


def _end(pattern: re.Pattern[bytes], data: bytes) -> int:
    found = pattern.match(data)
    return found.end() if found else 0
