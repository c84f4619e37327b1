"""What people see on stderr: one line each, whatever a message holds, and never a secret."""

import json
import logging
import re
import sys
from collections.abc import Iterable

from pipeline.redaction import Redaction

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


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        at = self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z")
        return json.dumps(
            {"at": at, "level": record.levelname.lower(), "message": one_line(record.getMessage())}
        )


def configure(*, json_lines: bool, level: int) -> None:
    """Send log lines to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if json_lines else _Text())
    for name in (OURS, *LIBRARIES):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(level if name == OURS else logging.WARNING)
        logger.propagate = False
