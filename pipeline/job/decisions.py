"""Decisions about a job that its config does not hold: they lie in the state directory, and the output depends on them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson

from pipeline.errors import DiskError
from pipeline.system.atomic import make_private, sweep, write
from pipeline.tasks.calibration import Calibration


def calibration_file(state: Path) -> Path:
    """Return where the calibration lies in the state directory *state*."""
    return state / "decisions" / "calibration.json"


def load_calibration(state: Path, task: bytes) -> Calibration | None:
    """Return the calibration of the task with the fingerprint *task*; None if there is none, or it is another task's.

    Raises:
        DiskError: If it cannot be read.
    """
    found = _load(calibration_file(state), task, "run `calibrate` again")
    return Calibration(**found) if found else None


def save_calibration(state: Path, task: bytes, calibration: Calibration) -> Path:
    """Replace the calibration of the task with the fingerprint *task*; returns its file.

    Raises:
        OSError: If it cannot be written.
    """
    return _save(calibration_file(state), task, asdict(calibration))


def load_canary(state: Path, task: bytes) -> Mapping[bytes, Sequence[str]] | None:
    """Return the labels of the prompts that each run asks anew, by key; None if they were not chosen for this task.

    Raises:
        DiskError: If they cannot be read.
    """
    found = _load(state / "decisions" / "canary.json", task, "the next run chooses rows anew")
    return {bytes.fromhex(key): labels for key, labels in found.items()} if found else None


def save_canary(state: Path, task: bytes, labels: Mapping[bytes, Sequence[str]]) -> Path:
    """Store the prompts that each run of the task with the fingerprint *task* asks anew; returns their file.

    Raises:
        OSError: If they cannot be written.
    """
    return _save(
        state / "decisions" / "canary.json", task, {key.hex(): names for key, names in labels.items()}
    )


def _load(path: Path, task: bytes, remedy: str) -> Any:
    try:
        found = orjson.loads(path.read_bytes())
        return found["decision"] if found["task"] == task.hex() else None
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DiskError(f"{path}: cannot be read ({error}); remove it, and {remedy}") from error


def _save(path: Path, task: bytes, decision: Mapping[str, Any]) -> Path:
    make_private(path.parent)
    sweep(path)
    write(path, orjson.dumps({"task": task.hex(), "decision": decision}, option=orjson.OPT_INDENT_2))
    return path
