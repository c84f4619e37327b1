"""The state directory: whether it can be written, which runs are working in it, and how it is cut into slices."""

import fcntl
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pipeline import storage
from pipeline.config import Config
from pipeline.config.slices import WHOLE, Slice, count_of, slice_folder, slice_store, slices_below
from pipeline.errors import CannotCreateError, LockedError, UsageError
from pipeline.job.workspace import RunRecord, Workspace, workspace
from pipeline.storage import Held
from pipeline.system.lock import flocked
from pipeline.system.places import ObjectPath

LEDGER = "ledger.sqlite"
BATCHES = "batches.sqlite"

RUNS = "runs"
"""The folder that is locked while a state is cut: a file would stay behind where a process is killed, and the ledger locks the directory itself."""


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


def in_store(config: Config) -> ObjectPath | None:
    """Return where the state lies in an object store; None if `state.dir` is all there is, as for a rehearsal."""
    return None if config.model.provider == "simulate" else config.state.store


def has_batches(config: Config) -> bool:
    """Return whether a job may have batches: it is to hand some in, or its state directory has a book of those under way."""
    book = config.state.dir / BATCHES
    return config.model.lane == "batch" or os.path.exists(book)  # noqa: PTH110 - a folder that is closed is for others to say


def ensure_in_folder(config: Config) -> None:
    """Check that the state is in a folder, as a cluster needs it: its nodes find it there.

    Raises:
        UsageError: If it is in an object store.
    """
    if (store := in_store(config)) is not None:
        raise UsageError(
            f"state.dir: {store}: a run on a Ray cluster works with a state in a folder that all nodes share; give it one"
        )


@contextmanager
def opened_state(config: Config, part: Slice | None = None, *, whole: bool = False) -> Iterator[Held | None]:
    """Work with the state in an object store, if it lies in one, while the block runs; yields its lease.

    Args:
        config: The config.
        part: The slice whose state it is. One that is not cut, and has no answers, is cut into as many.
        whole: Whether it has to be one that is not cut.

    Raises:
        LockedError: If another process works with it.
        UsageError: If it is cut otherwise.
        PipelineError: If it cannot be copied.
    """
    store = in_store(config)
    if store is None:
        _ensure_cut(config, _count(config.state.dir), None, whole=whole)
        yield None
        return
    from pipeline.job.remote.cut import count_in, cut  # noqa: PLC0415 - few states do
    from pipeline.job.remote.session import stored_state  # noqa: PLC0415 - as above

    ensure_store(config)
    folder = config.state.dir
    if part is not None:
        _ensure_cut(config, cut(store, part.count), part)
        store, folder = slice_store(store, part), slice_folder(folder, part)
    with stored_state(store, folder) as lease:
        # Only now nobody else can be cutting it anew.
        _ensure_cut(config, count_in(in_store(config) or store), part, whole=whole)
        yield lease


def look_at_state(config: Config, part: Slice | None = None) -> None:
    """Bring the copy of a state in an object store up to date, if it lies in one: of all slices, or of one *part* only.

    What a process here works with is left to that.
    """
    store = in_store(config)
    if store is None:
        return
    from pipeline.job.remote.cut import count_in, mirror  # noqa: PLC0415 - few states do
    from pipeline.job.remote.session import look_at  # noqa: PLC0415 - as above

    look_at(store, config.state.dir)
    count = count_in(store)
    mirror(config.state.dir, count)
    for each in (Slice(index, count) for index in range(count)):
        if part in {None, each}:
            look_at(slice_store(store, each), slice_folder(config.state.dir, each))


def running(state: Path) -> list[str]:
    """Return which processes run a job now whose state is in the state directory *state*, or in a slice of it."""
    folders = [state, *slices_below(state).values()]
    places = [
        Workspace(place, place) for folder in folders for place in folder.glob("runs/*") if place.is_dir()
    ]
    return [holder for place in places if (holder := place.holder()) is not None]


def _ensure_cut(config: Config, count: int, part: Slice | None, *, whole: bool = False) -> None:
    """Check that a state which is cut into *count* slices, or is `WHOLE`, has *part*; or that it is not cut, if it has to be *whole*.

    A run of all keys would ask those of the slices again, and so would slices of another count.

    Raises:
        UsageError: If not; the sentence names the ways out.
    """
    state = in_store(config) or config.state.dir
    if part is not None and count not in {0, part.count}:
        is_cut = "has a ledger that is not cut" if count == WHOLE else f"is cut into {count} slices"
        way = f"`ledger reslice CONFIG {part.count}` cuts it into {part.count}"
        raise UsageError(
            f"{state}: {is_cut}; {'run without --slice' if (count, part.count) == (WHOLE, 1) else way}"
        )
    if whole and count > 0:
        raise UsageError(
            f"{state}: is cut into {count} slices, which `run CONFIG --slice I/{count}` and `assemble CONFIG` work with; "
            "`ledger reslice CONFIG 1` makes one of them"
        )


@contextmanager
def as_it_is_cut(config: Config, part: Slice | None, folder: Path, *, whole: bool) -> Iterator[None]:
    """Keep the state directory as it is cut while the block runs, in which a run takes its lock in *folder*.

    It may have been cut since that run looked at it first. Once the run has its lock, `cutting` finds it. In an object store its
    lease does that.

    Raises:
        UsageError: If it is not cut for the slice *part*; or is cut, and the *whole* of it is to be asked about.
        LockedError: If it is being cut, or the slice has been moved.
    """
    state = config.state.dir
    if in_store(config) is not None:
        yield
        return
    with flocked(state / RUNS, fcntl.LOCK_SH, "`ledger reslice` is cutting it; wait, then run again"):
        _ensure_cut(config, _count(state), part, whole=whole and part is None)
        if part is not None and slice_folder(state, part) != folder:
            raise LockedError(f"{state}: `ledger reslice` has just cut it; run again")
        yield


@contextmanager
def cutting(state: Path) -> Iterator[None]:
    """Keep every run out of the state directory *state* while the block runs, which cuts it.

    Raises:
        LockedError: If a run uses it, or begins to.
    """
    with flocked(state / RUNS, fcntl.LOCK_EX, "a run begins in it, or another command cuts it; try again"):
        if users := running(state):
            raise LockedError(f"{state}: in use by {', '.join(users)}; wait for it, or end it")
        yield


def config_of(config: Config, part: Slice) -> Config:
    """Return *config* as the run of a slice has it: with a state directory of its own, and its share of the limits.

    Raises:
        UsageError: If the state directory is not cut into so many slices, but has answers.
    """
    _ensure_cut(config, _count(config.state.dir), part)
    return config.model_copy(
        update={"limits": config.limits.divided(part), "state": config.state.of_slice(part)}
    )


def _count(state: Path) -> int:
    """Return into how many slices the state directory *state* is cut; 0 if it is empty, `WHOLE` if it is not cut."""
    return count_of(slices_below(state)) or (WHOLE if (state / LEDGER).exists() else 0)


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


def at_work(config: Config, places: Sequence[tuple[Slice, Workspace]]) -> dict[Slice, str]:
    """Return which processes work with slices, here or, where their state is in a store, anywhere."""
    found = {part: holder for part, place in places if (holder := place.holder()) is not None}
    if (store := in_store(config)) is not None:
        from pipeline.job.remote.cut import live_holders  # noqa: PLC0415 - few states do

        found |= live_holders({part: slice_store(store, part) for part, _ in places if part not in found})
    return found


def named(indices: Iterable[int], count: int) -> str:
    """Return how slices are called in a sentence."""
    found = sorted(indices)
    some = ", ".join(map(str, found))
    return f"slice{'s' if len(found) > 1 else ''} {some} of {count}"
