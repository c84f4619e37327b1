"""Cut a state in an object store anew: its answers go to slices of another count, or to one state that is not cut."""

from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from pipeline import storage
from pipeline.config.slices import NAME, Slice, slice_folder, slice_store
from pipeline.errors import LockedError, NoInputError, PipelineError
from pipeline.job.remote.copied import Copied
from pipeline.job.remote.cut import count_in, mirror, record
from pipeline.job.remote.segments import segment_folder, snapshot_folder
from pipeline.job.remote.session import stored_state
from pipeline.ledger.opening import FILE, open_file, opened
from pipeline.ledger.slices import deal
from pipeline.ledger.store import Store
from pipeline.system.places import ObjectPath


class State(NamedTuple):
    """A state that is not cut, or one slice: where it lies, and its copy on this machine."""

    store: ObjectPath
    folder: Path


def recut(store: ObjectPath, folder: Path, count: int) -> int:
    """Cut the state in *store*, whose copy is in *folder*, into *count* slices, and return how many answers it has.

    Whenever this is interrupted, it is cut as before or as asked for, and has every answer: new slices are all in the store
    before `cut.json` names them, and only then the earlier ones are removed.

    Raises:
        NoInputError: If there is no ledger yet.
        LockedError: If another process works with it.
        PipelineError: If it cannot be copied.
    """
    before = count_in(store)
    mirror(folder, before)
    whole = State(store, folder)
    old = _slices(store, folder, before) or [whole]
    with ExitStack() as held:
        for state in old:
            held.enter_context(stored_state(*state))
        if count_in(store) != before:
            raise LockedError(f"{store}: has just been cut by another process; run again")
        with opened(folder) as ledger:
            if ledger is None:
                raise NoInputError(f"{store}: there is no ledger yet; it comes with the first run")
            if count == before > 1 or (count == 1 and before == 0):
                return sum(1 for _ in ledger.cells())
            with TemporaryDirectory(prefix=".cut-", dir=folder) as building:
                answers = _fill([whole] if count == 1 else _slices(store, Path(building), count), ledger)
        record(store, count)  # from here on it is cut so
    if before == 0:
        _forget(folder)
    mirror(folder, count if count > 1 else 0)
    for state in old:
        _clear(state.store)
    return answers


def _slices(store: ObjectPath, folder: Path, count: int) -> list[State]:
    """Return the slices of a state whose copies are in *folder*."""
    parts = [Slice(index, count) for index in range(count)]
    return [State(slice_store(store, part), slice_folder(folder, part)) for part in parts]


def _fill(states: Sequence[State], ledger: Store) -> int:
    """Copy the answers in *ledger* to new *states*, and return how many they are; when it returns, all are in the store."""
    with ExitStack() as filling:
        for state in states:
            _clear(state.store)  # of what an interrupted attempt has left
            filling.enter_context(stored_state(*state))
        return deal(ledger, [filling.enter_context(open_file(state.folder)) for state in states])


def _clear(store: ObjectPath) -> None:
    """Remove what a slice has, but for its lease, whose epoch goes on; of a state only the answers. What stays does no harm."""
    files = [store / "files"] if NAME.fullmatch(store.name) else []
    for each in (segment_folder(store), snapshot_folder(store), *files):
        with suppress(OSError, PipelineError):
            storage.remove(each)


def _forget(folder: Path) -> None:
    """Remove the ledger from a copy."""
    for path in folder.glob(f"{FILE}*"):
        path.unlink()
    replace(Copied.load(folder), segments=[], snapshot="", shipped=0).save(folder)
