"""What an earlier survey found in CSV files that have not changed: a rerun need not pass over them again."""

import json
from contextlib import suppress
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.config import CsvSettings
from pipeline.inputs.source import Block, Contents, Stamp
from pipeline.system import atomic

_VERSION = 1  # of the file's layout and of the checks that a remembered file has passed


@dataclass(slots=True)
class SurveyCache:
    """A JSON file of surveyed CSV files; one that is damaged or cannot be written only costs time."""

    path: Path | None
    settings: list[Any]
    _old: dict[str, Any] = field(default_factory=dict)
    _new: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path | None, csv: CsvSettings) -> "SurveyCache":
        """Read the file, if there is one that was written under the same CSV settings."""
        memory = cls(path, [_VERSION, csv.delimiter, csv.encoding, csv.quote])
        with suppress(OSError, ValueError):
            found = json.loads(path.read_bytes()) if path else None
            if isinstance(found, dict) and found.get("settings") == memory.settings:
                memory._old = found["files"]
        return memory

    def get(self, path: Path, stamp: Stamp) -> Contents | None:
        """What the file with this stamp holds, if that is known."""
        with suppress(KeyError, TypeError, ValueError):
            kept = self._old[str(path)]
            if Stamp(*kept["stamp"]) == stamp:
                schema = pa.schema([(name, pa.string()) for name in kept["columns"]])
                contents = Contents(schema, tuple(Block(*block) for block in kept["blocks"]), kept["digest"])
                self._new[str(path)] = kept
                return contents
        return None

    def put(self, path: Path, stamp: Stamp, contents: Contents) -> None:
        """Remember a file; only text columns are, because other files are quick to look into again."""
        if any(kind != pa.string() for kind in contents.schema.types):
            return
        self._new[str(path)] = {
            "stamp": astuple(stamp),
            "columns": contents.schema.names,
            "blocks": [astuple(block) for block in contents.blocks],
            "digest": contents.digest,
        }

    def save(self) -> None:
        """Write what this survey found, if it differs."""
        if self.path is None or self._new == self._old:
            return
        with suppress(OSError):
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            atomic.sweep(self.path)
            atomic.write(self.path, json.dumps({"settings": self.settings, "files": self._new}).encode())
