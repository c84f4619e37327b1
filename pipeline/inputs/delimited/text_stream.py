"""Stream a file's text as UTF-8 bytes, whatever its compression and encoding."""

import codecs
import gzip
from pathlib import Path
from typing import BinaryIO, Protocol, cast

# Python's names of the encodings whose bytes are UTF-8 as they are.
_UTF8 = frozenset({"utf-8", "utf-8-sig", "ascii"})


class TextStream(Protocol):
    """A forward-only stream of UTF-8 bytes."""

    def read(self, size: int, /) -> bytes:
        """Read *size* bytes; fewer only at the end."""

    def seek(self, offset: int, /) -> int:
        """Skip to *offset*, in bytes of UTF-8; never backwards."""

    def close(self) -> None:
        """Close the file."""


class BadByteError(ValueError):
    """A byte that is invalid in the encoding.

    Attributes:
        byte: Its value.
        offset: Its offset in the decompressed file, in bytes.
    """

    def __init__(self, byte: int, offset: int) -> None:
        super().__init__(f"byte 0x{byte:02X} at {offset}")
        self.byte = byte
        self.offset = offset


class Transcoder:
    """Transcodes a stream in another encoding to UTF-8 while it is read."""

    def __init__(self, raw: BinaryIO, encoding: str) -> None:
        self._raw = raw
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._taken = 0  # bytes of `raw` decoded so far
        self._ready = b""
        self._offset = 0  # of `_ready`, in bytes of UTF-8
        self._ended: bool | BadByteError = False

    def read(self, size: int, /) -> bytes:
        """Read *size* bytes; see `TextStream`.

        Raises:
            BadByteError: At an invalid byte, once everything before it has been read.
        """
        parts, have = [self._ready], len(self._ready)
        while have < size and not self._ended:
            parts.append(self._decode(self._raw.read(size)).encode())
            have += len(parts[-1])
        if not have and isinstance(self._ended, BadByteError):
            raise self._ended
        ready = b"".join(parts)
        self._ready = ready[size:]
        self._offset += min(size, have)
        return ready[:size]

    def seek(self, offset: int, /) -> int:
        """Skip to *offset*; see `TextStream`."""
        while self._offset < offset and self.read(min(offset - self._offset, 1 << 20)):
            continue
        return self._offset

    def close(self) -> None:
        """Close the file."""
        self._raw.close()

    def _decode(self, raw: bytes) -> str:
        pending = len(self._decoder.getstate()[0])  # bytes of a character that began in an earlier call
        self._ended = not raw
        try:
            text = self._decoder.decode(raw, final=self._ended)
        except UnicodeDecodeError as error:
            offset = self._taken - pending + error.start
            self._ended = BadByteError(error.object[error.start], offset)
            return self._decoder.decode(raw[: max(0, error.start - pending)])
        self._taken += len(raw)
        return text


def open_text(path: Path, encoding: str) -> TextStream:
    """Open a file, decompressed if its name ends in `.gz`.

    Reading raises OSError, EOFError or zlib.error for damaged gzip data, and BadByteError for bytes that are invalid
    in *encoding*, except in UTF-8, whose bytes are passed on unchecked.

    Raises:
        OSError: If the file cannot be opened.
    """
    name = codecs.lookup(encoding).name
    packed = path.name.lower().endswith(".gz")
    raw = cast("BinaryIO", gzip.open(path) if packed else path.open("rb"))  # noqa: SIM115 - the caller closes it
    return raw if name in _UTF8 else Transcoder(raw, name)
