"""Write a file of lines, packed if its format says so."""

import gzip
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

LEVEL = 6
"""How hard gzip tries; a higher level takes twice the time for a few percent."""


class LineFile:
    """A file that is written from start to end; a context manager."""

    def __init__(self, path: Path, *, packed: bool) -> None:
        """Open *path*; *packed* writes gzip, whose bytes depend on the lines only, not on the time."""
        self._open = ExitStack()
        raw = self._open.enter_context(path.open("wb"))
        self._file = self._open.enter_context(gzip.GzipFile("", "wb", LEVEL, raw, mtime=0)) if packed else raw

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def append(self, lines: bytes) -> None:
        """Append whole *lines*."""
        self._file.write(lines)
