"""Runs jobs one after the other in this process and prints, a line each, how much work each was.

    python -m tests.counting CONFIG...

Everything is counted, nothing is timed, so that a busy machine changes no figure much.
"""

import json
import os
import sqlite3
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from pipeline import load_config, run
from pipeline.ledger.store import Store

counts: Counter[str] = Counter()
folders: list[Path] = []
WRITES = os.O_WRONLY | os.O_RDWR


def counted(what: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return *function*, each call of which is counted."""

    def call(*args: Any, **options: Any) -> Any:
        counts[what] += 1
        return function(*args, **options)

    return call


def traced(connect: Callable[..., sqlite3.Connection]) -> Callable[..., sqlite3.Connection]:
    """Return *connect*, the statements of whose connections to files are counted by their first word."""

    def opened(*args: Any, **options: Any) -> sqlite3.Connection:
        connection = connect(*args, **options)
        if args[0] != ":memory:":
            connection.set_trace_callback(lambda sql: counts.update((sql.split(None, 1)[0].lower(),)))
        return connection

    return opened


def note_files(event: str, arguments: tuple[Any, ...]) -> None:
    """Count the job's files that are opened for writing, those of parts apart."""
    if event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITES:
        path = Path(os.fsdecode(arguments[0])) if isinstance(arguments[0], str | bytes) else Path()
        # Where a run stands is noted every other second: how often depends on the machine.
        if any(path.is_relative_to(folder) for folder in folders) and ".progress.json" not in path.name:
            counts["parts" if "parts" in path.parts else "other files"] += 1


def calls(where: str) -> Callable[[FrameType, str, object], None]:
    """Return a profile function that counts the calls of Python and C functions."""

    def count(frame: FrameType, event: str, argument: object) -> None:
        del frame, argument
        if event in ("call", "c_call"):
            counts[where] += 1

    return count


def work(config: str) -> dict[str, float]:
    """Run the job and return its counts, and the seconds that it took."""
    counts.clear()
    began = time.monotonic()
    threading.setprofile(calls("calls in threads"))
    sys.setprofile(calls("calls on the loop"))
    try:
        result = run(load_config(config), handle_signals=True)  # so that the loop is on this thread
    finally:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]  # typeshed does not know that None ends it
    return {**counts, "seconds": time.monotonic() - began, "rows": result.rows, "requests": result.requests}


if __name__ == "__main__":
    sqlite3.connect = traced(sqlite3.connect)
    os.fsync = counted("syncs", os.fsync)
    for name in ("append", "look_up", "index"):
        setattr(Store, name, counted(f"ledger {name}", getattr(Store, name)))
    folders += [Path(path).parent for path in sys.argv[1:]]
    sys.addaudithook(note_files)
    for path in sys.argv[1:]:
        sys.stdout.write(json.dumps(work(path)) + "\n")
