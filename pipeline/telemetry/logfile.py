"""The log file in the state directory: when the command ran, what was unusual, how each run ended."""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from logging.handlers import WatchedFileHandler
from pathlib import Path
from typing import Any

from pipeline.telemetry.logs import LIBRARIES, OWN_LOGGER, JsonLines, one_line

MAX_BYTES = 10 << 20
BACKUPS = 5
MAX_EARLY_RECORDS = 100


class _LogFile(WatchedFileHandler):
    """A log file that only its owner can read; reopened when another run has rotated it."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, encoding="utf-8", delay=True)
        self._has_failed = False
        self._early: list[logging.LogRecord] = []  # logged before the folder exists

    def _open(self) -> TextIOWrapper:
        return open(self.baseFilename, "a", encoding="utf-8", opener=_private)

    def emit(self, record: logging.LogRecord) -> None:
        """Write *record* and the early ones before it, once a run has created its state directory."""
        self._early.append(record)
        try:
            while self._early:
                super().emit(self._early[0])
                del self._early[0]
        except (FileNotFoundError, NotADirectoryError):
            del self._early[MAX_EARLY_RECORDS:]
        except OSError:  # from opening; `handleError` has had those from writing
            self._early.clear()
            self.handleError(record)

    def close(self) -> None:
        """Close the file; a failure to write has been reported already."""
        with suppress(OSError):
            super().close()

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802 - logging's signature
        """Warn once that the log file is not written: a full disk is no reason to stop."""
        error = sys.exception()
        if isinstance(error, FileNotFoundError | NotADirectoryError):
            raise error  # Python 3.14 passes on what opening raises; `emit` waits for the folder
        if not self._has_failed:
            self._has_failed = True
            warning = one_line(f"warning: {self.baseFilename}: is not written any more: {error}")
            with suppress(OSError, ValueError):  # stderr may be closed, too
                sys.stderr.write(f"{warning}\n")


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)


@contextmanager
def log_file(path: Path, **facts: Any) -> Iterator[logging.Logger]:
    """Write log lines as JSON to the file at *path*, too, while the block runs; each line has *facts*.

    A file larger than 10 MiB is rotated first: `log.jsonl.1` is the newest of 5 old ones. It is not rotated later, as
    no run fills a disk: it logs a line every half minute, and one for each unusual event.

    Yields:
        A logger that writes to the file only.
    """
    _rotate(path)
    handler = _LogFile(path)
    handler.setFormatter(JsonLines(facts))
    own = logging.getLogger(f"{OWN_LOGGER}-log-file")
    own.propagate, own.handlers = False, [handler]
    own.setLevel(logging.INFO)
    names = (OWN_LOGGER, *LIBRARIES)
    for name in names:
        logging.getLogger(name).addHandler(handler)
    try:
        yield own
    finally:
        for name in names:
            logging.getLogger(name).removeHandler(handler)
        own.handlers = []
        handler.close()


def _rotate(path: Path) -> None:
    """Rotate the old log files. Concurrent runs may lose an old file, but no current line."""
    files = [path, *(path.with_name(f"{path.name}.{number}") for number in range(1, BACKUPS + 1))]
    try:
        if path.stat().st_size < MAX_BYTES:
            return
        for older, newer in reversed(list(zip(files[1:], files[:-1], strict=True))):
            if newer.exists():
                newer.replace(older)
    except OSError:
        return  # there is no file yet, or another run has just rotated it; opening it reports all else
