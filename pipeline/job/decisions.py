"""Decisions about a job that its config does not hold: they lie in the state directory, and the output depends on them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from hashlib import blake2b
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import orjson

from pipeline.config import Config
from pipeline.config.providers import second_config
from pipeline.errors import CannotCreateError, ConfigError, DiskError
from pipeline.job.job import Job
from pipeline.job.options import RunOptions
from pipeline.outputs.columns import CARRIED, STUDENT
from pipeline.system.atomic import make_private, sweep, write
from pipeline.tasks.calibration import Calibration
from pipeline.tasks.prompt import Task

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


def ensure_student(config: Config, options: RunOptions) -> None:
    """Check that a run of *config* with *options* can have the student that it is to have: all rows are there, and one decides.

    Raises:
        ConfigError: If it cannot; a line for each problem.
    """
    student = config.student
    if student is None:
        return
    known = [label.name for label in config.task.labels]
    problems = [
        f"student.labels_always_asked: there is no label {name!r}; there are {', '.join(known)}"
        for name in student.labels_always_asked
        if name not in known
    ]
    if options.part is not None or options.workers > 1 or options.on_ray:
        problems.append(
            "student: is certified on all rows by one process; leave out --slice, --workers and --engine, or the section student"
        )
    if config.state.store is not None:
        problems.append("student: needs a state.dir on this machine, where its coins are safe before it asks")
    missing = [name for name in ("sklearn", "scipy") if find_spec(name) is None]
    if missing:
        problems.append(
            f"student: {' and '.join(missing)} cannot be imported; "
            "install what it learns with: pip install 'nano-pipeline[student]'"
        )
    if problems:
        raise ConfigError(*problems)


def second_task(config: Config, options: RunOptions, first: Task) -> Task | None:
    """Return the task as the second model is asked it, which is another than the *first*; None if there is none.

    Raises:
        ConfigError: If a run of *config* with *options* cannot have one.
    """
    second = second_config(config)
    if second is None:
        return None
    task, problems = Task.from_config(second), []
    if task.fingerprint in {first.fingerprint, first.alone}:
        problems.append(
            "escalate.model: would be asked the same as the first model, and answer the same; name another one, or leave the "
            "section escalate out"
        )
    if config.student is not None:
        problems.append(
            "escalate: goes with no student, which is proven to say what the first model says; leave one of the sections out"
        )
    if options.part is not None or options.on_ray:
        problems.append(
            "escalate: is worked with by one process, which --workers may help; leave out --slice and --engine, or the section "
            "escalate"
        )
    if problems:
        raise ConfigError(*problems)
    return task


class ConfiguredTask(NamedTuple):
    """A config and its task."""

    config: Config
    task: Task


Question = Job | ConfiguredTask
"""What is asked, and by which config: a job, or what an earlier one has asked."""


def nights_file(question: Question, who: str) -> Path:
    """Return where it lies what was decided about labels of *who*: the student's, or carried ones."""
    return _file(question.config.state.dir, who, _promise(question, who))


def load_nights(question: Question, who: str) -> Sequence[Mapping[str, Any]]:
    """Return what was decided about labels of *who*: a certificate or a refusal for each night that has decided.

    Raises:
        DiskError: If it cannot be read.
    """
    file, promise = nights_file(question, who), _promise(question, who)
    return _load(file, promise, lambda found: list(found["nights"]), "the next run writes it anew") or ()


def save_nights(question: Question, who: str, nights: Sequence[Mapping[str, Any]]) -> str:
    """Store what was decided about labels of *who*, *nights*; returns its hash.

    Raises:
        OSError: If it cannot be written.
    """
    if list(load_nights(question, who)) != list(nights):
        _save(nights_file(question, who), _promise(question, who), {"nights": nights})
    return _hash(nights)


def decided(job: Job, whole: Config) -> Job:
    """Return *job* with what was decided about labels that are not the model's; *whole* is its config, if it is of a slice.

    Raises:
        ConfigError: If it cannot have them.
    """
    question, options = ConfiguredTask(whole, job.task), job.options
    file, nights = nights_file(question, CARRIED), load_nights(question, CARRIED)
    proposals, is_batch = file.with_suffix(".sqlite"), job.config.model.lane == "batch"
    # Without a decision they are of a run that was stopped before it, which the next one goes on with.
    are_some = any(night["rows"] for night in nights) or (not nights and proposals.exists())
    several = options.part is not None or options.workers > 1 or options.on_ray
    if are_some and (several or is_batch or job.config.escalate is not None):
        raise ConfigError(
            "rows of this job carry labels of an earlier config, or are about to, which --slice, --workers, --engine, escalate and "
            f"model.lane: batch do not know: leave these out; or remove {file} and {proposals}, and every row is asked"
        )
    return replace(
        job, carried=_hash(nights), student=_hash(load_nights(job, STUDENT)) if job.config.student else ""
    )


def may_be_carried(job: Job) -> bool:
    """Return whether *job* has labels of an earlier config, or is to have them, or was about to when a run was killed."""
    return job.options.previous is not None or nights_file(job, CARRIED).with_suffix(".sqlite").exists()


def _hash(nights: Sequence[Mapping[str, Any]]) -> str:
    return blake2b(orjson.dumps(list(nights)), digest_size=16).hexdigest() if nights else ""


def _promise(question: Question, who: str) -> bytes:
    """Return a hash of the task and of what the student is to keep to; one run at a time works with what has it.

    What was proven of carried labels stays, whatever a later run would want to have proven.
    """
    student = question.config.student if who == STUDENT else None
    promised = [student.target, student.delta, sorted(student.labels_always_asked)] if student else []
    return blake2b(orjson.dumps(promised), digest_size=16, key=question.task.fingerprint).digest()


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
