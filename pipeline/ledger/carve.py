"""Answers found in raw bytes of a ledger's file, by their own form and checksum, whatever is around them.

The format is that of https://sqlite.org/fileformat2.html. Nothing but a record itself is trusted: no tree, no
page header, no cell pointer. A cell of the table `answers` is

    payload size (varint) | id (varint) | header size | 0 (the id is not in the record) | 44 (a key of 16 bytes) | ...

and what does not fit into a page goes on in a chain of overflow pages.
"""

import struct
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any

from pipeline.ledger.schema import FIELDS, REALS, checksum

MARK = b"\x00\x2c"
CELLS = len(FIELDS) + 1
MAX_RECORD_BYTES = 64 << 20
"""No answer is nearly as large (a reply has at most 1 MiB); a damaged header may claim anything."""

INTEGER_BYTES = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}
CONSTANTS = {0: None, 8: 0, 9: 1}
REAL = 7
FIRST_BLOB = 12
LONGEST_VARINT = 8  # the ninth byte counts otherwise, and no id is as large

Page = Callable[[int], bytes]
"""Gives the page of a number, from 1 on; nothing if there is none."""

Found = tuple[int | None, tuple[Any, ...]]
"""An answer's id, if it can be told, and its cells with their checksum."""

Decode = Callable[[bytes], object]


def carve(data: bytes, page_size: int, views: Sequence[Page]) -> Iterator[Found]:
    """Yield every answer whose record begins in *data* and is whole.

    Args:
        data: Some pages.
        page_size: Their size in bytes, which tells where a long record goes on elsewhere.
        views: Where overflow pages may be; each is tried until the checksum fits.
    """
    at = data.find(MARK)
    while at >= 0:
        if at and (cells := _cells(data, at - 1, page_size, views)):
            yield cells
        at = data.find(MARK, at + 1)


def newest_pages(read: Callable[[int, int], bytes], size: int, page_size: int) -> Page:
    """Return the view of the newest pages among *size* bytes of frames of a write-ahead log.

    Args:
        read: Gives so many bytes from an offset on.
        size: Bytes of frames, each a header of 24 bytes and a page.
        page_size: Bytes of a page.
    """
    heads = ((at, read(at, 16)) for at in range(0, size - page_size - 23, 24 + page_size))
    # The first salt is counted up each time when the log is begun anew, over the remains of the last time.
    ordered = sorted((head[8:12], at, head[:4]) for at, head in heads)
    places = {int.from_bytes(page): at + 24 for _, at, page in ordered}
    return lambda number: read(places[number], page_size) if number in places else b""


def _cells(data: bytes, start: int, page_size: int, views: Sequence[Page]) -> Found | None:
    layout = _layout(data[start : start + data[start]])
    if layout is None:
        return None
    total, decoders = layout
    for payload in _payloads(data, start, total, page_size, views):
        try:
            cells = tuple([decode(payload[first:stop]) for decode, first, stop in decoders])
            if checksum(cells[:-1]) == cells[-1]:
                return _id(data, start, total), cells
        except (ValueError, TypeError, struct.error):  # not text, not an answer's types, cut short
            continue
    return None


@lru_cache(maxsize=4096)
def _layout(header: bytes) -> tuple[int, list[tuple[Decode, int, int]]] | None:
    """Return the size of a record with this header, and how and where to read each of its cells."""
    position, serials = 2, []
    while position < len(header):
        serial, position = _varint(header, position)
        serials.append(serial)
    if len(serials) != CELLS or position != len(header):
        return None
    at, decoders = len(header), []
    for column, serial in enumerate(serials):
        decode, length = _decoder(serial)
        decoders.append(
            (_as_real if column in REALS and serial in INTEGER_BYTES else decode, at, at + length)
        )
        at += length
    for column in REALS:
        if serials[column] in {8, 9}:
            decoders[column] = (_constant(float(serials[column] - 8)), at, at)
    return (at, decoders) if at <= MAX_RECORD_BYTES else None


def _decoder(serial: int) -> tuple[Decode, int]:
    if serial in CONSTANTS:
        return _constant(CONSTANTS[serial]), 0
    if serial in INTEGER_BYTES:
        return _integer, INTEGER_BYTES[serial]
    if serial == REAL:
        return _real, 8
    length = (serial - FIRST_BLOB) // 2
    return (bytes.decode if serial % 2 else bytes), length


def _constant(value: object) -> Decode:
    return lambda _: value


def _integer(data: bytes) -> int:
    return int.from_bytes(data, signed=True)


def _as_real(data: bytes) -> float:
    return float(_integer(data))


def _real(data: bytes) -> object:
    return struct.unpack(">d", data)[0]


def _payloads(data: bytes, start: int, total: int, page_size: int, views: Sequence[Page]) -> Iterator[bytes]:
    """Yield what may be the whole record that begins at *start*."""
    most = page_size - 35
    if total <= most:
        yield data[start : start + total]
        return
    least = (page_size - 12) * 32 // 255 - 23
    here = least + (total - least) % (page_size - 4)
    end = start + (here if here <= most else least)
    first = int.from_bytes(data[end : end + 4])
    for page in views:
        yield data[start:end] + _chain(page, first, total - (end - start))


def _chain(page: Page, number: int, size: int) -> bytes:
    """Return up to *size* bytes from the chain of overflow pages that begins with page *number*."""
    parts, seen = [], set()
    while size > 0 and number not in seen and (content := page(number)):
        seen.add(number)
        parts.append(content[4 : 4 + size])
        size -= len(content) - 4
        number = int.from_bytes(content[:4])
    return b"".join(parts)


def _id(data: bytes, start: int, total: int) -> int | None:
    """Return the id that stands before a record; None if the record's size does not stand before that."""
    first = start - 1
    while first > 0 and data[first - 1] & 0x80 and start - first < LONGEST_VARINT:
        first -= 1
    size = bytes([total & 0x7F])
    while total := total >> 7:
        size = bytes([total & 0x7F | 0x80]) + size
    if data[max(0, first - len(size)) : first] != size:
        return None
    number, end = _varint(data, first)
    return number if end == start and number > 0 else None


def _varint(data: bytes, start: int) -> tuple[int, int]:
    """Return the varint at *start* and where it ends; beyond the data if it does not end."""
    number = 0
    for position, byte in enumerate(data[start : start + LONGEST_VARINT], start + 1):
        number = number << 7 | byte & 0x7F
        if not byte & 0x80:
            return number, position
    return number, len(data) + 1
