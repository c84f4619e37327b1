"""Decisions about a job that its config does not hold: they lie in the state directory, and the output depends on them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import orjson

from pipeline.errors import CannotCreateError, DiskError
from pipeline.job.job import Job
from pipeline.system.atomic import make_private, sweep, write
from pipeline.tasks.calibration import Calibration

T = TypeVar("T")


def calibration_file(state: Path, task: bytes) -> Path:
    """Return where the calibration of the task with the fingerprint *task* lies in the state directory *state*."""
    return _file(state, "calibration", task)


def _file(state: Path, name: str, task: bytes) -> Path:
    # Each task has its own: several configs, such as two to compare, may share a state directory.
    return state / "decisions" / f"{name}-{task.hex()[:8]}.json"


def load_calibration(state: Path, task: bytes) -> Calibration | None:
    """Return the calibration of the task with the fingerprint *task*; None if there is none, or it is another task's.

    Raises:
        DiskError: If it cannot be read.
    """
    return _load(
        calibration_file(state, task), task, lambda found: Calibration(**found), "run `calibrate` again"
    )


def save_calibration(state: Path, task: bytes, calibration: Calibration) -> Path:
    """Replace the calibration of the task with the fingerprint *task*; returns its file.

    Raises:
        OSError: If it cannot be written.
    """
    return _save(calibration_file(state, task), task, asdict(calibration))


def load_canary(state: Path, task: bytes) -> Mapping[bytes, Sequence[str]] | None:
    """Return the labels of the prompts that each run asks anew, by key; None if they were not chosen for this task.

    Raises:
        DiskError: If they cannot be read.
    """
    return _load(
        _file(state, "canary", task),
        task,
        lambda found: {bytes.fromhex(key): list(labels) for key, labels in found.items()},
        "the next run chooses rows anew",
    )


def has_canary(job: Job) -> bool:
    """Return whether runs of *job* ask rows anew, to see whether the model still says the same."""
    return job.config.gates.canary_flips is not None and job.options.is_whole


def asked_anew(job: Job) -> Mapping[bytes, Sequence[str]]:
    """Return the labels so far of the prompts that the next run of *job* asks anew, by key.

    Raises:
        DiskError: If they cannot be read.
    """
    return (load_canary(job.config.state.dir, job.task.fingerprint) or {}) if has_canary(job) else {}


def save_canary(state: Path, task: bytes, labels: Mapping[bytes, Sequence[str]]) -> Path:
    """Store the prompts that each run of the task with the fingerprint *task* asks anew; returns their file.

    Raises:
        OSError: If they cannot be written.
    """
    return _save(_file(state, "canary", task), task, {key.hex(): names for key, names in labels.items()})


def _load(path: Path, task: bytes, read: Callable[[Any], T], remedy: str) -> T | None:
    try:
        found = orjson.loads(path.read_bytes())
        return read(found["decision"]) if found["task"] == task.hex() else None
    except (FileNotFoundError, NotADirectoryError):
        return None
    except PermissionError as error:
        raise CannotCreateError(f"{path}: cannot be read; check its permissions, or who you are") from error
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise DiskError(f"{path}: cannot be read ({error}); remove it, and {remedy}") from error


def _save(path: Path, task: bytes, decision: Mapping[str, Any]) -> Path:
    make_private(path.parent)
    sweep(path)
    write(path, orjson.dumps({"task": task.hex(), "decision": decision}, option=orjson.OPT_INDENT_2))
    return path
