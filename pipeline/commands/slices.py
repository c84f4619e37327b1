"""`assemble`, `ledger reslice`: slices become one output; a ledger is cut, or cut anew."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path

from pipeline.config import Config
from pipeline.config.slices import FOLDER, READY, Slice, slice_of, slices_below
from pipeline.errors import InterruptedRunError, NoInputError, UsageError
from pipeline.job.prepare import for_provider
from pipeline.job.state import cutting, in_store, named, slice_places
from pipeline.job.workspace import PUBLISHED
from pipeline.ledger import FILE, open_store, opened
from pipeline.ledger.store import Store
from pipeline.llm.batch.checks import ensure_no_batch
from pipeline.system.atomic import make_private

BUILDING = "slices.building"
OLD = "slices.old"

AT_ONCE = 5_000
"""Answers that are copied in one transaction."""


def ensure_finished(config: Config) -> None:
    """Check that each slice of *config* is finished, as far as its record tells; its answers are counted later.

    Raises:
        UsageError: If the state directory is not cut.
        InterruptedRunError: If one is not finished; names all of them.
    """
    places = list(slice_places(for_provider(config)))
    if not places:
        raise UsageError(f"{config.state.dir}: has no slices; `run CONFIG --slice INDEX/COUNT` makes one")
    missing, count = {}, len(places)
    for part, place in places:
        record = place.load()
        if (holder := place.holder()) is not None:
            missing[part.index] = f"{part.index}/{count} is at work as {holder}"
        elif record is None or record.status != PUBLISHED:
            begun = "has not begun" if record is None else "was interrupted"
            missing[part.index] = f"{part.index}/{count} {begun}"
    if missing:
        some = "; ".join(missing.values())
        raise InterruptedRunError(
            f"not finished: {named(missing, count)}: {some}; end each with `run CONFIG --slice`, then assemble"
        )


def reslice(config: Config, count: int) -> int:
    """Cut the ledger of *config* into *count* slices, and return how many answers it has; 1 makes it one file again.

    Whenever this is interrupted, the state directory is cut as before or as asked for, and has every answer.

    Raises:
        NoInputError: If there is no ledger yet.
        LockedError: If a run uses it.
        UsageError: If it is in an object store, or a batch is under way.
    """
    if in_store(config):
        raise UsageError(
            f"{config.state.store}: `reslice` cuts a ledger in a folder only, and this one is in a store"
        )
    state = for_provider(config).state.dir
    if not state.is_dir():
        raise _no_ledger(state)
    with cutting(state):
        return _cut(state, count)


def _no_ledger(state: Path) -> NoInputError:
    return NoInputError(f"{state / FILE}: there is no ledger yet; it comes with the first run")


def _cut(state: Path, count: int) -> int:
    _finish(state)
    ensure_no_batch(state, "a slice")
    building = state / BUILDING
    shutil.rmtree(building, ignore_errors=True)
    with opened(state) as store:
        if store is None:
            raise _no_ledger(state)
        answers = _copy(store, building, count)
    if count > 1:
        building.rename(state / READY)  # from here on these are the slices
    else:
        for name in _files(building / str(Slice(0, 1))):
            name.replace(state / name.name)
        if (state / FOLDER).exists():
            (state / FOLDER).rename(state / OLD)  # from here on the one file is the ledger
        shutil.rmtree(building, ignore_errors=True)
    _finish(state)
    return answers


def _copy(store: Store, building: Path, count: int) -> int:
    """Copy all answers into new ledgers, and return how many there were."""
    copied = 0
    with ExitStack() as stack:
        parts = []
        for index in range(count):
            folder = building / str(Slice(index, count))
            make_private(folder)
            parts.append(stack.enter_context(open_store(folder)))
        cells = store.cells()
        while some := list(islice(cells, AT_ONCE)):
            copied += len(some)
            for index, part in enumerate(parts):
                part.append_cells([each for each in some if slice_of(each[0], count) == index])
        for part in parts:
            part.index()
    return copied


def _finish(state: Path) -> None:
    """Put slices that were cut anew in their place, and remove what they replace."""
    if (state / READY).exists():
        if (state / FOLDER).exists():
            shutil.rmtree(state / OLD, ignore_errors=True)
            (state / FOLDER).rename(state / OLD)
        (state / READY).rename(state / FOLDER)
    if slices_below(state):
        for name in _files(state):
            name.unlink()
    shutil.rmtree(state / OLD, ignore_errors=True)


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.glob(f"{FILE}*") if path.is_file())
