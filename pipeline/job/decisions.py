"""Decisions about a job that its config does not hold: they lie in the state directory, and the output depends on them."""

from dataclasses import asdict
from pathlib import Path

import orjson

from pipeline.errors import DiskError
from pipeline.system.atomic import make_private, write
from pipeline.tasks.calibration import Calibration


def calibration_file(state: Path) -> Path:
    """Return where the calibration lies in the state directory *state*."""
    return state / "decisions" / "calibration.json"


def load_calibration(state: Path, task: bytes) -> Calibration | None:
    """Return the calibration of the task with the fingerprint *task*; None if there is none, or it is another task's.

    Raises:
        DiskError: If it cannot be read.
    """
    path = calibration_file(state)
    try:
        found = orjson.loads(path.read_bytes())
        return Calibration(**found["calibration"]) if found["task"] == task.hex() else None
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DiskError(f"{path}: is no calibration ({error}); remove it or run `calibrate` again") from error


def save_calibration(state: Path, task: bytes, calibration: Calibration) -> Path:
    """Replace the calibration of the task with the fingerprint *task*; returns its file.

    Raises:
        OSError: If it cannot be written.
    """
    path = calibration_file(state)
    make_private(path.parent)
    facts = {"task": task.hex(), "calibration": asdict(calibration)}
    write(path, orjson.dumps(facts, option=orjson.OPT_INDENT_2))
    return path
