"""Colours of lines at a terminal: none in files and pipes, nor where NO_COLOR or TERM=dumb asks for none."""

import os
from typing import Literal, TextIO

CODES = {"bad": "1;31", "warning": "33", "faint": "2"}
"""What a word means, and how a terminal is told to show it."""

Meaning = Literal["bad", "warning", "faint"]


def is_smart(stream: TextIO | None) -> bool:
    """Return whether *stream* is a terminal on which lines can be drawn anew."""
    try:
        return stream is not None and stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    except ValueError:  # it is closed
        return False


def paint(text: str, meaning: Meaning, stream: TextIO | None) -> str:
    """Return *text* in the colour that *meaning* has on *stream*; see https://no-color.org."""
    if os.environ.get("NO_COLOR") or not is_smart(stream):
        return text
    return f"\x1b[{CODES[meaning]}m{text}\x1b[0m"
