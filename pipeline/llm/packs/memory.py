"""How many rows a request was found to carry without harm, kept for the next run.

It is a cache: where it is lost, that is found out again.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.system.atomic import make_private, write

log = logging.getLogger(__name__)

FILE = "packs.json"
VERSION = 1
MOST_TASKS = 100


def kept_widths(state: Path, fingerprint: bytes) -> Mapping[str, Sequence[int]]:
    """Return what earlier runs in the state directory *state* have found about a task; nothing if they have not."""
    found = _all(state).get(fingerprint.hex(), {})
    sound = isinstance(found, dict) and all(
        isinstance(name, str)
        and isinstance(counts, list)
        and len(counts) in {2, 3, 4}
        and all(map(_is_count, counts))
        for name, counts in found.items()
    )
    return found if sound else {}


def keep_widths(state: Path, fingerprint: bytes, found: Mapping[str, Sequence[int]]) -> None:
    """Keep what was *found* about a task; a disk that cannot take it costs no run."""
    others = [item for item in _all(state).items() if item[0] != fingerprint.hex()]
    tasks = {**dict(others[-MOST_TASKS:]), fingerprint.hex(): found}
    try:
        make_private(state)
        write(state / FILE, json.dumps({"version": VERSION, "tasks": tasks}, indent=1).encode())
    except OSError as error:
        log.warning("%s cannot be written: %s; the next run finds it out again", state / FILE, error)


def _all(state: Path) -> dict[str, Any]:
    try:
        found = json.loads((state / FILE).read_bytes())
        tasks = found["tasks"] if found["version"] == VERSION else {}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}
    return tasks if isinstance(tasks, dict) else {}


def _is_count(value: object) -> bool:
    return isinstance(value, int) and value >= 0
