"""The write-ahead log as it lies on the disk: would SQLite read all of it that was committed?

SQLite reads the log up to the first frame whose checksum does not fit, says nothing, and writes over the rest.
So this is looked at before SQLite opens the file. The format is that of https://sqlite.org/fileformat2.html#walformat.
"""

import struct
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from operator import eq
from pathlib import Path
from typing import BinaryIO

from pipeline.ledger.schema import DamagedError

HEADER_BYTES = 32
FRAME_HEADER_BYTES = 24
MAGIC = 0x377F0682
"""The last bit tells whether checksums are taken over words with their highest byte first."""

FRAMES_AT_ONCE = 1024
MAX_REST_BYTES = 16 << 20
"""What was being written is looked through only if it is not a whole file that was being copied (VACUUM)."""

Sums = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Header:
    """The head of a log.

    Attributes:
        page_size: Bytes of a page.
        salts: What each frame repeats, anew each time when the log is begun anew.
        sums: The checksum that the first frame's goes on from.
        big: Whether checksums are taken over words with their highest byte first.
    """

    page_size: int
    salts: bytes
    sums: Sums
    big: bool


def header_of(head: bytes) -> Header | None:
    """Return what the first bytes of a log say; None if they are damaged."""
    if len(head) < HEADER_BYTES:
        return None
    magic, _, page_size, *_ = struct.unpack(">8I", head)
    big = bool(magic & 1)
    first = second = 0
    words = struct.unpack(">6I" if big else "<6I", head[:24])
    for word, other in zip(words[::2], words[1::2], strict=True):
        first = first + word + second & 0xFFFFFFFF
        second = second + other + first & 0xFFFFFFFF
    sums = struct.unpack(">2I", head[24:])
    if magic & ~1 != MAGIC or (first, second) != sums:
        return None
    return Header(page_size, head[16:24], sums, big)


def unread(log: Path) -> tuple[bytes, int]:
    """Return the frames after the last commit in *log*, at most MAX_REST_BYTES, and their page size.

    That is what was being written when a process was killed, or when the rest was cut off.

    Raises:
        DamagedError: If there are later commits, which SQLite would not read.
    """
    try:
        file = log.open("rb")
    except FileNotFoundError:
        return b"", 0
    with file:
        header = header_of(file.read(HEADER_BYTES))
        if header is None:
            file.seek(0)
            if any(part.strip(b"\0") for part in iter(lambda: file.read(1 << 20), b"")):
                raise DamagedError("the head of its write-ahead log is damaged")
            return b"", 0
        return _unread(file, log.stat().st_size, header), header.page_size


def _unread(file: BinaryIO, size: int, header: Header) -> bytes:
    frame = FRAME_HEADER_BYTES + header.page_size
    last = commit = 0
    for number in range((size - HEADER_BYTES) // frame):
        file.seek(HEADER_BYTES + number * frame)
        head = file.read(16)
        if head[8:] == header.salts:
            last = number + 1
            commit = last if any(head[4:8]) else commit
    read = _committed(file, last, header)
    if read < commit:
        raise DamagedError(f"its write-ahead log is damaged: {commit - read} frames would not be read")
    file.seek(HEADER_BYTES + read * frame)
    rest = (last - read) * frame
    return file.read(rest) if rest <= MAX_REST_BYTES else b""


def _committed(file: BinaryIO, frames: int, header: Header) -> int:
    """Return how many of the first *frames* SQLite would read: up to the last commit before any damage."""
    frame = FRAME_HEADER_BYTES + header.page_size
    sums, commit = header.sums, 0
    file.seek(HEADER_BYTES)
    for start in range(0, frames, FRAMES_AT_ONCE):
        some = file.read(min(FRAMES_AT_ONCE, frames - start) * frame)
        stored = [struct.unpack_from(">2I", some, at + 16) for at in range(0, len(some), frame)]
        fitting = _fitting(some, frame, [sums, *stored[:-1]], stored, big=header.big)
        for number in range(fitting):
            head = some[number * frame : number * frame + 16]
            if head[8:] != header.salts:
                return commit
            if any(head[4:8]):
                commit = start + number + 1
        if fitting < len(stored):
            break
        sums = stored[-1]
    return commit


def _fitting(frames: bytes, frame: int, before: Sequence[Sums], stored: Sequence[Sums], *, big: bool) -> int:
    """Return how many of *frames* have the checksum that is *stored* with them, up to the first that has not.

    Each goes on from the one *before* it. All are computed side by side, each in 64 bits of one long integer:
    six times as fast as one after another.
    """
    count = len(stored)
    lanes = f"<{count}Q"
    low = _long(struct.pack(lanes, *[0xFFFFFFFF] * count))
    first, second = (_long(struct.pack(lanes, *part)) for part in zip(*before, strict=True))
    words = array("I", frames)
    if big:
        words.byteswap()
    pairs, step = array("Q", words.tobytes()), frame // 8
    for place in (0, *range(FRAME_HEADER_BYTES // 8, step)):
        pair = _long(pairs[place::step].tobytes())
        first = (first + (pair & low) + second) & low
        second = (second + (pair >> 32 & low) + first) & low
    sums = zip(
        *(struct.unpack(lanes, part.to_bytes(8 * count, "little")) for part in (first, second)), strict=True
    )
    fits = map(eq, sums, stored)
    return next((number for number, fit in enumerate(fits) if not fit), count)


def _long(data: bytes) -> int:
    return int.from_bytes(data, "little")
