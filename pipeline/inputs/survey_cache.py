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

_VERSION = 1  # raise it when the layout of the cache changes, or the checks that a cached file has passed


@dataclass(slots=True)
class SurveyCache:
    """A JSON file of surveyed CSV files; if it is damaged or cannot be written, that only costs time.

    Attributes:
        path: The JSON file; None caches nothing.
        settings: What the results depend on, besides the files.
    """

    path: Path | None
    settings: list[Any]
    _old: dict[str, Any] = field(default_factory=dict)
    _new: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path | None, csv: CsvSettings) -> "SurveyCache":
        """Read the cache at *path*; it is empty if it does not exist or was written with other CSV settings."""
        cache = cls(path, [_VERSION, csv.delimiter, csv.encoding, csv.quote])
        with suppress(OSError, ValueError):
            found = json.loads(path.read_bytes()) if path else None
            if isinstance(found, dict) and found.get("settings") == cache.settings:
                cache._old = found["files"]
        return cache

    def get(self, path: Path, stamp: Stamp) -> Contents | None:
        """Return the contents of the file at *path* with this *stamp*, or None if they are not cached."""
        with suppress(KeyError, TypeError, ValueError):
            kept = self._old[str(path)]
            if Stamp(*kept["stamp"]) == stamp:
                schema = pa.schema([(name, pa.string()) for name in kept["columns"]])
                contents = Contents(schema, tuple(Block(*block) for block in kept["blocks"]), kept["digest"])
                self._new[str(path)] = kept
                return contents
        return None

    def put(self, path: Path, stamp: Stamp, contents: Contents) -> None:
        """Add the contents of a file, if it is a CSV file; others are quick to inspect again."""
        if any(kind != pa.string() for kind in contents.schema.types):  # a CSV file has strings only
            return
        self._new[str(path)] = {
            "stamp": astuple(stamp),
            "columns": contents.schema.names,
            "blocks": [astuple(block) for block in contents.blocks],
            "digest": contents.digest,
        }

    def save(self) -> None:
        """Write the files of this survey, if they differ from those that were read."""
        if self.path is None or self._new == self._old:
            return
        with suppress(OSError):
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            atomic.sweep(self.path)
            atomic.write(self.path, json.dumps({"settings": self.settings, "files": self._new}).encode())
