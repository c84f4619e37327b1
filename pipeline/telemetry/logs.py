"""Log lines: one line per message, whatever it contains, and never a secret."""

import json
import logging
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from pipeline.system.redaction import Redaction
from pipeline.telemetry.colours import paint

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")

OWN_LOGGER, LIBRARIES = "pipeline", ("asyncio", "aiohttp")
"""The loggers whose lines are shown; the libraries' only from warnings on."""


class _Hidden:
    """The secrets that this process has read, and their redaction."""

    values: frozenset[str] = frozenset()
    redaction = Redaction()


def hide(values: Iterable[str]) -> None:
    """Redact *values* in every line from now on: an unforeseen error may quote a header."""
    values = _Hidden.values | frozenset(values)
    if values != _Hidden.values:
        _Hidden.values, _Hidden.redaction = values, Redaction(values)


said_of: ContextVar[str] = ContextVar("said_of", default="")
"""Which of several endpoints the lines are about that the current task logs; empty where there is one."""

section_of: ContextVar[str] = ContextVar("section_of", default="model")
"""Where the config has the model that the current task asks: lines that name one of its keys mean that one."""

MODEL_KEY = re.compile(r"(?<![\w.])model(?=\.[a-z])")


def with_keys_of(section: str, sentence: str) -> str:
    """Return *sentence* with the keys of the section `model` that it names as keys of *section*."""
    return sentence if section == "model" else MODEL_KEY.sub(section, sentence)


@contextmanager
def about(name: str, section: str | None = None) -> Iterator[None]:
    """Have the lines that are logged in the block, and by the tasks that are started in it, name whom they are about.

    Keys of a model that they name are those of *section*, if it is given.
    """
    tokens = said_of.set(name), section_of.set(section or section_of.get())
    try:
        yield
    finally:
        said_of.reset(tokens[0])
        section_of.reset(tokens[1])


def said(record: logging.LogRecord) -> str:
    """Return the message of *record* as `one_line` does, after the name of the endpoint that it is about."""
    name, sentence = said_of.get(), with_keys_of(section_of.get(), record.getMessage())
    return one_line(f"{name}: {sentence}" if name else sentence)


def one_line(text: str) -> str:
    """Return *text* without secrets and with control characters escaped, so that a row's text cannot forge lines."""
    return CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), _Hidden.redaction.of(text))


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return f"{self.formatTime(record, '%H:%M:%S')} {self._level(record)}{said(record)}"

    @staticmethod
    def _level(record: logging.LogRecord) -> str:
        if getattr(record, "bare", False):  # an answer to who sits there, not a message of some weight
            return ""
        level = record.levelname.lower()
        if record.levelno >= logging.WARNING:
            level = paint(level, "bad" if record.levelno >= logging.ERROR else "warning", sys.stderr)
        return f"{level}: "


class JsonLines(logging.Formatter):
    """Formats a record as a JSON object: `at`, `level`, `message`, and the *facts* that every line has."""

    def __init__(self, facts: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self._facts = facts or {}

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of *record*, with the record's own `facts` last."""
        at = self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z")
        line = {"at": at, "level": record.levelname.lower(), "message": said(record)}
        return json.dumps({**line, **self._facts, **getattr(record, "facts", {})})


def configure(*, json_lines: bool, level: int) -> None:
    """Write log lines of *level* and above to stderr."""
    handler = _handler(level, JsonLines() if json_lines else _Text())
    for name in (OWN_LOGGER, *LIBRARIES):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(logging.INFO if name == OWN_LOGGER else logging.WARNING)
        logger.propagate = False


def show_from_info_on(name: str) -> None:
    """Write the lines of the logger *name* from INFO on, where others are shown from WARNING on."""
    handler = _handler(logging.INFO, _Text())
    handler.addFilter(lambda record: record.levelno < logging.WARNING)  # the others are shown already
    logging.getLogger(name).handlers = [handler]


class _Lines:
    """Where log lines go: to stderr, unless a display is there that prints them above itself."""

    def __init__(self) -> None:
        self.print: Callable[[str], None] | None = None

    def write(self, text: str) -> None:
        """Write a line, with its newline."""
        if self.print is None:
            sys.stderr.write(text)
        else:
            self.print(text.rstrip("\n"))

    def flush(self) -> None:
        """Flush stderr."""
        sys.stderr.flush()


_lines = _Lines()


@contextmanager
def lines_above(show: Callable[[str], None]) -> Iterator[None]:
    """Pass log lines to *show* while the block runs, instead of writing them amid a display."""
    _lines.print = show
    try:
        yield
    finally:
        _lines.print = None


def _handler(level: int, formatter: logging.Formatter) -> logging.Handler:
    handler = logging.StreamHandler(_lines)
    handler.setFormatter(formatter)
    handler.setLevel(level)
    return handler
