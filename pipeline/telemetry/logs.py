"""What people see on stderr and find in log files: a line each, whatever a message holds, and never a secret."""

import json
import logging
import re
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from pipeline.system.redaction import Redaction

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


OURS, LIBRARIES = "pipeline", ("asyncio", "aiohttp")
"""The loggers whose lines are shown; of the libraries' only warnings are."""


class _Hidden:
    """The secrets that this process has read."""

    values: frozenset[str] = frozenset()
    redaction = Redaction()


def hide(values: Iterable[str]) -> None:
    """Show none of *values* from now on: an error that nobody thought of may quote a header."""
    values = _Hidden.values | frozenset(values)
    if values != _Hidden.values:
        _Hidden.values, _Hidden.redaction = values, Redaction(values)


def one_line(text: str) -> str:
    """Return *text* without secrets and with control characters escaped: a row's text must not forge log lines."""
    return CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), _Hidden.redaction.of(text))


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return f"{self.formatTime(record, '%H:%M:%S')} {record.levelname.lower()}: {one_line(record.getMessage())}"


class JsonLines(logging.Formatter):
    """A JSON object a line: `at`, `level`, `message`, and *facts* that are in each."""

    def __init__(self, facts: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self._facts = facts or {}

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; a record's own `facts` come last."""
        at = self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z")
        said = {"at": at, "level": record.levelname.lower(), "message": one_line(record.getMessage())}
        return json.dumps({**said, **self._facts, **getattr(record, "facts", {})})


def configure(*, json_lines: bool, level: int) -> None:
    """Send log lines of *level* and above to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if json_lines else _Text())
    handler.setLevel(level)
    for name in (OURS, *LIBRARIES):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(logging.INFO if name == OURS else logging.WARNING)
        logger.propagate = False
