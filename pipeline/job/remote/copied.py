"""What the copy of a state on this machine has of the store's, and the store of it."""

from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import orjson

from pipeline.system.atomic import write


@dataclass(slots=True)
class Copied:
    """What was fetched and what was shipped; it is saved in the copy.

    Attributes:
        epoch: Of the lease under which the copy was last worked with; -1 if it was only looked at since.
        segments: Names of the segments that are in its ledger, as long as they are in the store.
        snapshot: Name of the newest snapshot that is in its ledger.
        shipped: Number of the newest answer that is in the store.
        files: Size and time of each file that is in the store, by name.
    """

    epoch: int = -1
    segments: list[str] = field(default_factory=list)
    snapshot: str = ""
    shipped: int = 0
    files: dict[str, list[int]] = field(default_factory=dict)

    @classmethod
    def load(cls, folder: Path) -> "Copied":
        """Return what is saved in *folder*; that of an empty copy if nothing is."""
        with suppress(OSError, ValueError, TypeError):
            return cls(**orjson.loads(_path(folder).read_bytes()))
        return cls()

    def save(self, folder: Path) -> None:
        """Save it in *folder*."""
        # After a power cut it may be old: then some answers are fetched or shipped once more.
        write(_path(folder), orjson.dumps(asdict(self)), durable=False)


def _path(folder: Path) -> Path:
    return folder / ".copied.json"
