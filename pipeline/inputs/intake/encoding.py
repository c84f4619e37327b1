"""Transcode a stream in any encoding to UTF-8 while it is read."""

import codecs
from typing import Protocol

# Python's names of the encodings whose bytes are UTF-8 as they are.
_UTF8 = frozenset({"utf-8", "utf-8-sig", "ascii"})


class Bytes(Protocol):
    """A stream of bytes that is read from its beginning to its end."""

    def read(self, size: int, /) -> bytes:
        """Read about *size* bytes; none at the end only."""


class BadByteError(ValueError):
    """A byte that is invalid in the encoding; the message names it and its offset in the unpacked file."""


class Transcoder:
    """The text of a stream as UTF-8."""

    def __init__(self, raw: Bytes, encoding: str) -> None:
        self._raw = raw
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._taken = 0  # bytes of `raw` decoded so far
        self._bad: BadByteError | None = None

    def read(self, size: int, /) -> bytes:
        """Read about *size* bytes; see `Bytes`.

        Raises:
            BadByteError: At an invalid byte, once everything before it has been read.
        """
        while self._bad is None:
            raw = self._raw.read(size)
            if (text := self._decode(raw)) or not (raw or self._bad):
                return text.encode()
        raise self._bad

    def _decode(self, raw: bytes) -> str:
        pending = len(self._decoder.getstate()[0])  # bytes of a character that began in an earlier call
        try:
            text = self._decoder.decode(raw, final=not raw)
        except UnicodeDecodeError as error:
            offset = self._taken - pending + error.start
            self._bad = BadByteError(f"byte 0x{error.object[error.start]:02X} at {offset}")
            return self._decoder.decode(raw[: max(0, error.start - pending)])
        self._taken += len(raw)
        return text


def as_utf8(raw: Bytes, encoding: str) -> Bytes:
    """Return a stream of *raw*'s text as UTF-8; text that is UTF-8 already is passed on unchecked."""
    name = codecs.lookup(encoding).name
    return raw if name in _UTF8 else Transcoder(raw, name)
