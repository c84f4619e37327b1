"""A file in the state directory that tells of all runs of the command: when, what was unusual, how each ended."""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from logging.handlers import WatchedFileHandler
from pathlib import Path
from typing import Any

from pipeline.telemetry.logs import LIBRARIES, OURS, JsonLines, one_line

LARGEST_BYTES = 10 << 20
KEPT_FILES = 5
MOST_EARLY = 100


class _LogFile(WatchedFileHandler):
    """A file for the owner's eyes; it is opened anew when somebody else has put it away."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, encoding="utf-8", delay=True)
        self._is_lost = False
        self._early: list[logging.LogRecord] = []

    def _open(self) -> TextIOWrapper:
        return open(self.baseFilename, "a", encoding="utf-8", opener=_private)

    def emit(self, record: logging.LogRecord) -> None:
        """Write the line of *record*, once there is a folder for it: a run makes its state when it begins."""
        self._early.append(record)
        try:
            while self._early:
                super().emit(self._early[0])
                del self._early[0]
        except (FileNotFoundError, NotADirectoryError):
            del self._early[MOST_EARLY:]
        except OSError:  # from opening; those from writing have come to `handleError` already
            self._early.clear()
            self.handleError(record)

    def close(self) -> None:
        """Close the file; what no disk takes any more has been told."""
        with suppress(OSError):
            super().close()

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802 - as logging has it
        """Say once that there is no log file: that the disk is full is no reason to stop."""
        if not self._is_lost:
            self._is_lost = True
            said = one_line(f"warning: {self.baseFilename}: is not written any more: {sys.exception()}")
            with suppress(OSError, ValueError):  # nobody may read stderr either
                sys.stderr.write(f"{said}\n")


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)


@contextmanager
def kept(path: Path, **facts: Any) -> Iterator[logging.Logger]:
    """Keep log lines as JSON in the file at *path*, too, while the block runs; each says *facts*.

    A file that has grown past 10 MiB is put away before: `log.jsonl.1` is the last one, 5 are kept. A run writes a
    line every half minute and one for each thing that is unusual, so that one run cannot fill a disk.

    Yields:
        A logger for what only the file is told.
    """
    _put_away(path)
    handler = _LogFile(path)
    handler.setFormatter(JsonLines(facts))
    own = logging.getLogger(f"{OURS}-log-file")
    own.propagate, own.handlers = False, [handler]
    own.setLevel(logging.INFO)
    names = (OURS, *LIBRARIES)
    for name in names:
        logging.getLogger(name).addHandler(handler)
    try:
        yield own
    finally:
        for name in names:
            logging.getLogger(name).removeHandler(handler)
        own.handlers = []
        handler.close()


def _put_away(path: Path) -> None:
    """Number old files up. Two runs that do it at once may lose an old file, and never a line of tonight's."""
    files = [path, *(path.with_name(f"{path.name}.{number}") for number in range(1, KEPT_FILES + 1))]
    try:
        if path.stat().st_size < LARGEST_BYTES:
            return
        for older, newer in reversed(list(zip(files[1:], files[:-1], strict=True))):
            if newer.exists():
                newer.replace(older)
    except OSError:
        return  # there is none yet, or another run has just put it away; all else will be told when it is opened
