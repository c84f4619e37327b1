"""A cache of surveyed CSV files, so that a rerun need not read unchanged ones again."""

import json
from contextlib import suppress
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.config import CsvSettings
from pipeline.inputs.source import Block, Contents, Stamp
from pipeline.system import atomic

_VERSION = 2  # raise it when the layout of the cache changes, or the checks that a cached file has passed

_OTHERS_KEPT = 1_000
"""How many files of other surveys stay in the cache: jobs may share a state directory, and dated inputs never end."""


@dataclass(slots=True)
class SurveyCache:
    """A JSON file of surveyed CSV files; if it is damaged or cannot be written, that only costs time.

    Attributes:
        path: The JSON file; None caches nothing.
        settings: What the results depend on, besides the files.
    """

    path: Path | None
    settings: str
    _old: dict[str, Any] = field(default_factory=dict)
    _new: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path | None, csv: CsvSettings) -> "SurveyCache":
        """Read the cache at *path*; it is empty if it does not exist."""
        return cls(path, json.dumps([_VERSION, csv.delimiter, csv.encoding, csv.quote]), _read(path))

    def get(self, path: Path, stamp: Stamp) -> Contents | None:
        """Return the contents of the file at *path* with this *stamp*, or None if they are not cached."""
        with suppress(KeyError, TypeError, ValueError):
            kept = self._old[self._key(path)]
            if Stamp(*kept["stamp"]) == stamp:
                schema = pa.schema([(name, pa.string()) for name in kept["columns"]])
                contents = Contents(schema, tuple(Block(*block) for block in kept["blocks"]), kept["digest"])
                self._new[self._key(path)] = kept
                return contents
        return None

    def put(self, path: Path, stamp: Stamp, contents: Contents) -> None:
        """Add the contents of a file, if it is a CSV file; others are quick to inspect again."""
        if any(kind != pa.string() for kind in contents.schema.types):  # a CSV file has strings only
            return
        self._new[self._key(path)] = {
            "path": str(path),
            "stamp": astuple(stamp),
            "columns": contents.schema.names,
            "blocks": [astuple(block) for block in contents.blocks],
            "digest": contents.digest,
        }

    def save(self) -> None:
        """Add the files of this survey, unless they are there; of all others, the newest that have not changed stay."""
        if self.path is None or self._new.items() <= self._old.items():
            return
        others = {key: kept for key, kept in _read(self.path).items() if key not in self._new}
        unchanged = [key for key in reversed(others) if _is_unchanged(others[key])][:_OTHERS_KEPT]
        files = {**{key: others[key] for key in reversed(unchanged)}, **self._new}
        with suppress(OSError):
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            atomic.sweep(self.path)
            atomic.write(self.path, json.dumps(files).encode())

    def _key(self, path: Path) -> str:
        return f"{self.settings} {path}"


def _read(path: Path | None) -> dict[str, Any]:
    with suppress(OSError, ValueError):
        found = json.loads(path.read_bytes()) if path else None
        return found if isinstance(found, dict) else {}
    return {}


def _is_unchanged(kept: Any) -> bool:
    with suppress(KeyError, TypeError, OSError):
        return Stamp(*kept["stamp"]) == Stamp.of(Path(kept["path"]))
    return False
