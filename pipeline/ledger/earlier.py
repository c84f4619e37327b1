"""Records of the formats 1 and 2, in which each field of an answer was a cell of its own.

Nothing else is known of those formats: a ledger of theirs is rebuilt as a damaged one is.
"""

import struct
from collections.abc import Callable, Sequence
from zlib import crc32

import orjson

from pipeline.ledger.schema import FIELDS, TYPES, Cells, cells_of
from pipeline.records import Answer

CELLS = 1 + len(FIELDS) + 1
"""The id's, which is empty, those of the fields, and the checksum."""

REALS = {place for place, name in enumerate(FIELDS) if TYPES.get(name) == "REAL"}
INTEGER_BYTES = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}
CONSTANTS = {0: None, 8: 0, 9: 1}
REAL = 7
FIRST_BLOB = 12

Decode = Callable[[bytes], object]


def layout(serials: Sequence[int], start: int) -> tuple[int, Callable[[bytes], Cells | None]]:
    """Return how many bytes a record has whose cells have these serial types, and what reads it.

    Args:
        serials: The types, CELLS of them, as https://sqlite.org/fileformat2.html#record_format has them.
        start: Where the cells begin.
    """
    at, decoders = start, []
    for place, serial in enumerate(serials[1:]):
        decode, length = _decoder(serial, real=place in REALS)
        decoders.append((decode, at, at + length))
        at += length

    def read(record: bytes) -> Cells | None:
        try:
            *values, found = [decode(record[first:stop]) for decode, first, stop in decoders]
            whole = crc32(orjson.dumps(values[1:]), crc32(values[0])) == found  # type: ignore[arg-type]
            return cells_of(Answer(*values)) if whole else None  # type: ignore[arg-type]
        except (
            ValueError,
            TypeError,
            AttributeError,
            struct.error,
        ):  # not text, not an answer's types, cut short
            return None

    return at, read


def _decoder(serial: int, *, real: bool) -> tuple[Decode, int]:
    if serial in CONSTANTS:
        constant = CONSTANTS[serial]
        value = float(constant) if real and constant is not None else constant
        return (lambda _: value), 0
    if serial in INTEGER_BYTES:
        return (_whole_real if real else _integer), INTEGER_BYTES[serial]
    if serial == REAL:
        return _real, 8
    return (bytes.decode if serial % 2 else bytes), (serial - FIRST_BLOB) // 2


def _integer(data: bytes) -> int:
    return int.from_bytes(data, signed=True)


def _whole_real(data: bytes) -> float:
    return float(_integer(data))


def _real(data: bytes) -> object:
    return struct.unpack(">d", data)[0]
