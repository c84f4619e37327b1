"""Unpack a file while it is read, and tell now and then how far it has come."""

import logging
from time import monotonic
from typing import Any

import pyarrow as pa

from pipeline import storage
from pipeline.system.places import Place

log = logging.getLogger(__name__)

CODECS = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2"}
"""Suffix of a packed file to the name that pyarrow has for its codec."""

_TOLD_EVERY_SECONDS = 5.0


def kind_of(path: Place) -> str:
    """Return the suffix of a file in lower case, without that of its compression."""
    suffixes = [suffix.lower() for suffix in path.suffixes[-2:]]
    return next((suffix for suffix in reversed(suffixes) if suffix not in CODECS), "")


class Unpacked:
    """The bytes of a file, unpacked if its suffix says that it is packed.

    Reading raises OSError where the packed file is damaged or cut short.
    """

    def __init__(self, path: Place) -> None:
        """Open the file at *path*.

        Raises:
            OSError: If it cannot be opened.
        """
        self._path, self._size = path, max(1, storage.stamp(path).size)
        self._told, self._begun = monotonic(), 0
        self._open()

    @property
    def is_packed(self) -> bool:
        """Whether reading unpacks."""
        return self._stream is not self._file

    def rewind(self) -> None:
        """Begin anew."""
        self._file.close()
        self._open()

    def _open(self) -> None:
        self._file = storage.open_file(self._path)
        self._begun += 1
        codec = CODECS.get(self._path.suffix.lower())
        packed = pa.PythonFile(self._file, "r") if codec else None
        self._stream: Any = pa.CompressedInputStream(packed, codec) if codec else self._file

    def read(self, size: int, /) -> bytes:
        """Read up to *size* bytes; none at the end only."""
        found: bytes = self._stream.read(size)
        if monotonic() - self._told >= _TOLD_EVERY_SECONDS:
            self._told = monotonic()
            share = 100 * min(1.0, self._file.tell() / self._size)
            again = ", for the second time" if self._begun > 1 else ""
            log.info("%s: %.0f %% read%s", self._path, share, again)
        return found

    def close(self) -> None:
        """Close the file."""
        self._file.close()
