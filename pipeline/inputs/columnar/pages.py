"""Find the pages of a Parquet file that are too large to decode: a page is decoded whole, whatever is read of it.

What a footer declares is no measure: 12,000 mails from one template shrink 400 times, a page at a time. pyarrow shows
no pages, so the few fields of their headers that count are read here, from Thrift's compact protocol.
"""

from collections.abc import Iterator
from typing import Any, BinaryIO

from pipeline import storage
from pipeline.system.places import Place

MOST_BYTES = 64 << 20
"""Most bytes of a page. Writers make pages of 1 MiB, or of 1,024 cells."""

_TAIL_BYTES = 8
_LONG = 15
"""In place of a list's length, where that takes more than four bits."""

_DICTIONARY_HEADER_BYTES = 256
_HEADER_BYTES = 1 << 16
"""More than a page's header takes, unless its statistics hold large cells."""


def oversized_page(path: Place) -> str | None:
    """Return which page of the file at *path* is too large; None if none is.

    Raises:
        ValueError: If the file's structure is damaged.
    """
    try:
        with storage.open_file(path) as file:
            for number, name, start, stop in _chunks(file):
                for size, stored in _pages(file, start, stop):
                    if size > MOST_BYTES:
                        where = f"row group {number}, column {name!r}"
                        return f"{where}: declares {size} bytes in a page of {stored} stored ones"
    except (IndexError, RecursionError) as error:
        raise ValueError("the header of a page is damaged") from error
    return None


def dictionary_page(path: Place, offset: int) -> tuple[int, int]:
    """Return how many bytes the dictionary page at *offset* has when it is decoded and how many cells; 0 and 1 if none is there."""
    with storage.open_file(path) as file:
        file.seek(offset)
        try:
            header = _Compact(file.read(_DICTIONARY_HEADER_BYTES)).struct()
            return int(header[2]), max(1, int(header[7][1]))
        except (IndexError, KeyError, TypeError, ValueError, RecursionError):
            return 0, 1


def _chunks(file: BinaryIO) -> Iterator[tuple[int, str, int, int]]:
    """Yield each column of each row group: the group's number, the column's name, and where its pages begin and end."""
    size = file.seek(-_TAIL_BYTES, 2)
    length = int.from_bytes(file.read(4), "little")
    file.seek(max(0, size - length))
    footer = _Compact(file.read(length)).struct()
    for number, group in enumerate(footer.get(4, ())):
        for column in group.get(1, ()):
            about = column.get(3, {})
            offsets = [about[key] for key in (9, 11) if about.get(key)]
            if offsets:
                name = ".".join(part.decode("utf-8", "replace") for part in about.get(3, ()))
                yield number, name, min(offsets), min(offsets) + about.get(7, 0)


def _pages(file: BinaryIO, start: int, stop: int) -> Iterator[tuple[int, int]]:
    """Yield the decoded and the stored size of each page between two offsets."""
    while start < stop:
        file.seek(start)
        compact = _Compact(file.read(min(_HEADER_BYTES, stop - start)))
        try:
            header = compact.struct()
        except IndexError:
            file.seek(start)
            compact = _Compact(file.read(stop - start))
            header = compact.struct()
        size, stored = header.get(2), header.get(3)
        if not (isinstance(size, int) and isinstance(stored, int) and min(size, stored) >= 0):
            raise ValueError("a page has no size")
        yield size, stored
        start += compact.at + stored


class _Compact:
    """Reads Thrift's compact protocol: structs as dicts of field numbers; IndexError where the bytes end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0

    def struct(self) -> dict[int, Any]:
        """Read a struct."""
        found: dict[int, Any] = {}
        number = 0
        while head := self._byte():
            number = number + (head >> 4) if head >> 4 else self._integer()
            kind = head & 15
            found[number] = kind == 1 if kind in {1, 2} else self._value(kind)
        return found

    def _value(self, kind: int) -> Any:
        match kind:
            case 1 | 2 | 3:  # a boolean within a list, a byte
                return self._byte()
            case 4 | 5 | 6:
                return self._integer()
            case 7:
                return self._bytes(8)
            case 8:
                return self._bytes(self._varint())
            case 9 | 10:
                head = self._byte()
                count = self._varint() if head >> 4 == _LONG else head >> 4
                return [self._value(head & 15) for _ in range(count)]
            case 12:
                return self.struct()
        raise ValueError(f"Thrift has no type {kind} here")

    def _bytes(self, count: int) -> bytes:
        self.at += count
        if self.at > len(self._data):
            raise IndexError
        return self._data[self.at - count : self.at]

    def _byte(self) -> int:
        return self._bytes(1)[0]

    def _varint(self) -> int:
        value = shift = 0
        while (byte := self._byte()) & 128:
            value |= (byte & 127) << shift
            shift += 7
        return value | byte << shift

    def _integer(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)
