"""The log of a server, read back: its entries, and which keys were paid for twice."""

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from pipeline.servers.simulator.log import Entry


def repeats(entries: Iterable[Entry]) -> dict[str, int]:
    """Return each key that was billed more than once, and how often."""
    hits = Counter(entry.key for entry in entries if entry.billed)
    return {key: times for key, times in hits.items() if times > 1}


def read_log(path: Path) -> list[Entry]:
    """Return the entries of a log file; a last line that was cut short is left out."""
    with path.open(encoding="utf-8") as lines:
        return [Entry(**json.loads(line)) for line in lines if line.endswith("\n")]
