"""Log lines on stderr: plain or JSON, one line each, whatever a message holds."""

import json
import logging
import re
import sys

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def one_line(text: str) -> str:
    """Return *text* with control characters escaped: a row's text must not forge log lines."""
    return CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


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
    """Send the program's own log lines to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if json_lines else _Text())
    logger = logging.getLogger("pipeline")
    logger.handlers = [handler]
    logger.setLevel(level)
    logger.propagate = False
