"""Unpack a file while it is read."""

from pathlib import Path
from typing import Any

import pyarrow as pa

CODECS = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2"}
"""Suffix of a packed file to the name that pyarrow has for its codec."""


def kind_of(path: Path) -> str:
    """Return the suffix of a file in lower case, without that of its compression."""
    suffixes = [suffix.lower() for suffix in path.suffixes[-2:]]
    return next((suffix for suffix in reversed(suffixes) if suffix not in CODECS), "")


class Unpacked:
    """The bytes of a file, unpacked if its suffix says that it is packed.

    Reading raises OSError where the packed file is damaged or cut short.
    """

    def __init__(self, path: Path) -> None:
        """Open the file at *path*.

        Raises:
            OSError: If it cannot be opened.
        """
        self._size = max(1, path.stat().st_size)
        self._file = path.open("rb")
        self._stream: Any = self._file
        if codec := CODECS.get(path.suffix.lower()):
            self._stream = pa.CompressedInputStream(pa.PythonFile(self._file, "r"), codec)

    def read(self, size: int, /) -> bytes:
        """Read up to *size* bytes; none at the end only."""
        found: bytes = self._stream.read(size)
        return found

    @property
    def share(self) -> float:
        """How much of the file has been read, from 0 to 1."""
        return min(1.0, self._file.tell() / self._size)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
