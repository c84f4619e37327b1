"""The state directory: whether it can be written, which runs are working in it, and how it is cut into slices."""

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipeline import storage
from pipeline.config import Config
from pipeline.config.slices import Slice, count_of, slice_folder, slices_below
from pipeline.errors import CannotCreateError, LockedError, UsageError
from pipeline.job.workspace import RunRecord, Workspace, workspace
from pipeline.storage import Held
from pipeline.system.atomic import make_private
from pipeline.system.places import ObjectPath

LEDGER = "ledger.sqlite"
BATCHES = "batches.sqlite"


def ensure_state(*folders: Path) -> None:
    """Check that the state directory and folders in it can be written, without creating anything.

    Raises:
        CannotCreateError: If the first that cannot be is one of *folders*, or a ledger in it.
    """
    for folder in folders:
        _ensure_writable(folder)
        ledger = folder / LEDGER
        if ledger.exists() and not os.access(ledger, os.R_OK | os.W_OK):
            raise CannotCreateError(f"{ledger}: cannot be written; check its permissions, or who you are")


def ensure_store(config: Config) -> None:
    """Check that a state in an object store can be written, and that its store lets one of two processes win.

    Raises:
        CannotCreateError: If not.
    """
    store = in_store(config)
    if store is None:
        return
    try:
        storage.ensure_writable(store / "lease.json")
    except OSError as error:
        raise CannotCreateError(f"{store}: {error.strerror}; check state.dir") from error


def _ensure_writable(folder: Path) -> None:
    existing = folder
    while not os.path.lexists(existing):
        existing = existing.parent
    if not existing.is_dir():
        raise CannotCreateError(f"{existing}: is no folder; check state.dir")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise CannotCreateError(f"{existing}: cannot be written; check state.dir")


@dataclass(frozen=True, slots=True)
class Both:
    """Two locks, as one."""

    first: Held
    second: Held

    def ensure_held(self) -> None:
        """Check that no other process can hold either.

        Raises:
            LockedError: If another may.
        """
        self.first.ensure_held()
        self.second.ensure_held()


def in_store(config: Config) -> ObjectPath | None:
    """Return where the state lies in an object store; None if `state.dir` is all there is, as for a rehearsal."""
    return None if config.model.provider == "simulate" else config.state.store


def has_batches(config: Config) -> bool:
    """Return whether a job may have batches: it is to hand some in, or its state directory has a book of those under way."""
    return config.model.lane == "batch" or (config.state.dir / BATCHES).exists()


def ensure_one_process(config: Config, workers: int, part: Slice | None) -> None:
    """Check that one process works with a state in an object store: its lease is not seen by others.

    Raises:
        UsageError: If it is to be cut, or to have *workers*.
    """
    if in_store(config) is not None and (workers > 1 or part is not None):
        raise UsageError(
            f"state.dir: {config.state.store}: a state in an object store is worked with by one process; give state.dir a "
            "folder for --workers and --slice"
        )


@contextmanager
def opened_state(config: Config) -> Iterator[Held | None]:
    """Work with the state in an object store, if it lies in one, while the block runs; yields its lease.

    Raises:
        LockedError: If another process works with it.
        PipelineError: If it cannot be copied.
    """
    store = in_store(config)
    if store is None:
        yield None
        return
    from pipeline.job.remote.session import stored_state  # noqa: PLC0415 - few states do

    ensure_store(config)
    with stored_state(store, config.state.dir) as lease:
        yield lease


def look_at_state(config: Config) -> None:
    """Bring the copy of a state in an object store up to date, if it lies in one and no process here works with it."""
    store = in_store(config)
    if store is not None:
        from pipeline.job.remote.session import look_at  # noqa: PLC0415 - few states do

        look_at(store, config.state.dir)


def running(state: Path) -> list[str]:
    """Return which processes run a job now whose state is in the state directory *state*, or in a slice of it."""
    folders = [state, *slices_below(state).values()]
    places = [
        Workspace(place, place) for folder in folders for place in folder.glob("runs/*") if place.is_dir()
    ]
    return [holder for place in places if (holder := place.holder()) is not None]


def ensure_uncut(state: Path) -> None:
    """Check that the state directory *state* is not cut: a run of all keys would ask those of the slices again.

    Raises:
        UsageError: If it is; the sentence names the ways out.
    """
    if count := count_of(slices_below(state)):
        raise UsageError(
            f"{state}: is cut into {count} slices, which `run CONFIG --slice I/{count}` and `assemble CONFIG` work with; "
            "`ledger reslice CONFIG 1` makes one of them"
        )


@contextmanager
def as_it_is_cut(state: Path, part: Slice | None, folder: Path, *, whole: bool) -> Iterator[None]:
    """Keep the state directory *state* as it is cut while the block runs, in which a run takes its lock in *folder*.

    It may have been cut since that run looked at it first. Once the run has its lock, `cutting` finds it.

    Raises:
        UsageError: If it is not cut for the slice *part*; or is cut, and the *whole* of it is to be asked about.
        LockedError: If it is being cut, or the slice has been moved.
    """
    with _flocked(state, fcntl.LOCK_SH, "`ledger reslice` is cutting it; wait, then run again"):
        if part is not None:
            _ensure_cut_for(state, part)
            if slice_folder(state, part) != folder:
                raise LockedError(f"{state}: `ledger reslice` has just cut it; run again")
        elif whole:
            ensure_uncut(state)
        yield


@contextmanager
def cutting(state: Path) -> Iterator[None]:
    """Keep every run out of the state directory *state* while the block runs, which cuts it.

    Raises:
        LockedError: If a run uses it, or begins to.
    """
    with _flocked(state, fcntl.LOCK_EX, "a run begins in it, or another command cuts it; try again"):
        if users := running(state):
            raise LockedError(f"{state}: in use by {', '.join(users)}; wait for it, or end it")
        yield


@contextmanager
def _flocked(state: Path, how: int, taken: str) -> Iterator[None]:
    # The folder of the runs: a file would stay behind where a process is killed, and the ledger locks the directory itself.
    folder = state / "runs"
    with ExitStack() as stack:
        try:
            make_private(folder)
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            stack.callback(os.close, handle)
            fcntl.flock(handle, how | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise LockedError(f"{state}: {taken}") from error
        except OSError as error:
            raise CannotCreateError(f"{folder}: cannot be written: {error}; check state.dir") from error
        yield


def config_of(config: Config, part: Slice) -> Config:
    """Return *config* as the run of a slice has it: with a state directory of its own, and its share of the limits.

    Raises:
        UsageError: If the state directory is not cut into so many slices, but has answers.
    """
    _ensure_cut_for(config.state.dir, part)
    folder = slice_folder(config.state.dir, part)
    return config.model_copy(
        update={
            "limits": config.limits.divided(part),
            "state": config.state.model_copy(update={"dir": folder}),
        }
    )


def _ensure_cut_for(state: Path, part: Slice) -> None:
    count = count_of(slices_below(state)) or int((state / LEDGER).exists())
    if count not in {0, part.count}:
        is_cut = f"is cut into {count} slices" if count > 1 else "has a ledger that is not cut"
        raise UsageError(f"{state}: {is_cut}; `ledger reslice CONFIG {part.count}` cuts it into {part.count}")


def slice_runs(config: Config) -> tuple[RunRecord, ...]:
    """Return the records of the latest runs of the slices of *config*, in their order; none if its state is not cut."""
    found = ((part, place.load()) for part, place in slice_places(config))
    return tuple(record for _, record in found if record is not None)


def slice_places(config: Config) -> Iterator[tuple[Slice, Workspace]]:
    """Yield each slice into which the state of *config* is cut, also one that has not begun, with its workspace."""
    there = slices_below(config.state.dir)
    count = count_of(there)
    for part in (Slice(index, count) for index in range(count)):
        folder = there.get(part, slice_folder(config.state.dir, part))
        yield part, workspace(folder, config.output.path)


def named(indices: Iterable[int], count: int) -> str:
    """Return how slices are called in a sentence."""
    found = sorted(indices)
    some = ", ".join(map(str, found))
    return f"slice{'s' if len(found) > 1 else ''} {some} of {count}"
