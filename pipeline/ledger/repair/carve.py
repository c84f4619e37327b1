"""Carving: finding answers in the raw bytes of a ledger by their own form and checksum.

Nothing but the record itself is trusted: no tree, no page header, no cell pointer. The format is that of
https://sqlite.org/fileformat2.html, in which a cell of the table `answers` is

    payload size (varint) | id (varint) | header size | 0 (the id is not in the record) | 44 (a key of 16 bytes)
    | length of the body (varint) | type of the checksum | key | body | checksum

and whatever does not fit into a page continues in a chain of overflow pages.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

from pipeline.ledger.schema import Cells, checksum
from pipeline.records import KEY_BYTES

LOG_HEADER_BYTES = 32
FRAME_HEADER_BYTES = 24
"""Of a write-ahead log, and of each frame in it, which holds a page."""

MARK = b"\x00\x2c"
"""The types of id and key: the second and third byte of every record's header."""

MAX_RECORD_BYTES = 64 << 20
"""A damaged header may claim any size; no answer is nearly as large, because a reply has at most 1 MiB."""

CELLS = 4
"""Those of the id, which is empty, the key, the body and the checksum."""

FIRST_TEXT = 13
INTEGER_BYTES = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}
"""The size of an integer, by its serial type."""

LONGEST_VARINT = 8  # a ninth byte would be read differently, and no id is that large

Page = Callable[[int], bytes]
"""Returns the page with a number, from 1; empty if there is none."""

Found = tuple[int | None, Cells]
"""An answer's id, if it can be read, and its cells."""


def carve(data: bytes, page_size: int, views: Sequence[Page]) -> Iterator[Found]:
    """Yield every intact answer whose record begins in *data*.

    Args:
        data: Some pages.
        page_size: Their size in bytes, which decides where a long record leaves the page.
        views: Where its overflow pages may be; each view is tried until the checksum matches.
    """
    at = data.find(MARK)
    while at >= 0:
        if at and (cells := _cells(data, at - 1, page_size, views)):
            yield cells
        at = data.find(MARK, at + 1)


def newest_pages(read: Callable[[int, int], bytes], size: int, page_size: int) -> Page:
    """Return a view of the newest version of each page in a write-ahead log.

    Args:
        read: Returns so many bytes from an offset in the log's frames.
        size: Bytes of all frames, each of which is a header and a page.
        page_size: Bytes of a page.
    """
    frame = FRAME_HEADER_BYTES + page_size
    heads = ((at, read(at, 16)) for at in range(0, size - frame + 1, frame))
    # SQLite increments the first salt whenever it starts over at the log's beginning, over the remains of older frames.
    ordered = sorted((head[8:12], at, head[:4]) for at, head in heads)
    places = {int.from_bytes(page): at + FRAME_HEADER_BYTES for _, at, page in ordered}
    return lambda number: read(places[number], page_size) if number in places else b""


def _cells(data: bytes, start: int, page_size: int, views: Sequence[Page]) -> Found | None:
    layout = _layout(data[start : start + data[start]])
    if layout is None or layout[0] > MAX_RECORD_BYTES:
        return None
    size, read = layout
    for record in _records(data, start, size, page_size, views):
        if len(record) == size and (cells := read(record)):
            return _id(data, start, size), cells
    return None


@lru_cache(maxsize=4096)  # most answers of a ledger share a few headers
def _layout(header: bytes) -> tuple[int, Callable[[bytes], Cells | None]] | None:
    """Return the size of a record with this header and a function that reads it; None if it is not an answer's."""
    at, serials = 1, []
    while at < len(header):
        serial, at = _varint(header, at)
        serials.append(serial)
    if at != len(header):
        return None
    text, number = serials[2:] if len(serials) == CELLS else (0, 0)
    if text < FIRST_TEXT or not text % 2 or number not in INTEGER_BYTES:
        return None
    body = at + KEY_BYTES
    last = body + (text - FIRST_TEXT) // 2

    def read(record: bytes) -> Cells | None:
        cells = record[at:body], record[body:last], int.from_bytes(record[last:], signed=True)
        return cells if checksum(*cells[:2]) == cells[2] else None

    return last + INTEGER_BYTES[number], read


def _records(data: bytes, start: int, total: int, page_size: int, views: Sequence[Page]) -> Iterator[bytes]:
    """Yield every candidate for the whole record that begins at *start*."""
    most = page_size - 35
    if total <= most:
        yield data[start : start + total]
        return
    # How SQLite divides a long record between its page and overflow pages: see "payload" in the format's description.
    least = (page_size - 12) * 32 // 255 - 23
    here = least + (total - least) % (page_size - 4)
    end = start + (here if here <= most else least)
    first = int.from_bytes(data[end : end + 4])
    for page in views:
        yield data[start:end] + _chain(page, first, total - (end - start))


def _chain(page: Page, number: int, size: int) -> bytes:
    """Return up to *size* bytes from the chain of overflow pages that begins with page *number*."""
    parts, seen = [], set()
    while size > 0 and number not in seen and (content := page(number)):  # a damaged chain may be a circle
        seen.add(number)
        parts.append(content[4 : 4 + size])
        size -= len(content) - 4
        number = int.from_bytes(content[:4])
    return b"".join(parts)


def _id(data: bytes, start: int, total: int) -> int | None:
    """Return the id in front of a record of *total* bytes; None unless that size is in front of it."""
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
    """Return the varint at *start* and the offset after it; an offset beyond the data if it does not end."""
    number = 0
    for position, byte in enumerate(data[start : start + LONGEST_VARINT], start + 1):
        number = number << 7 | byte & 0x7F
        if not byte & 0x80:
            return number, position
    return number, len(data) + 1
