"""`assemble`, `ledger reslice`: slices become one output; a ledger is cut, or cut anew."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from pipeline.config import Config
from pipeline.config.providers import for_provider
from pipeline.config.slices import FOLDER, READY, Slice, slices_below
from pipeline.errors import InterruptedRunError, NoInputError, UsageError
from pipeline.job.state import at_work, cutting, in_store, look_at_state, named, slice_places
from pipeline.job.workspace import PUBLISHED
from pipeline.ledger import FILE, open_store, opened
from pipeline.ledger.slices import deal
from pipeline.ledger.store import Store
from pipeline.llm.batch.checks import ensure_no_batch
from pipeline.system.atomic import make_private

BUILDING = "slices.building"
OLD = "slices.old"


def ensure_finished(config: Config) -> None:
    """Check that each slice of *config* is finished, as far as its record tells; its answers are counted later.

    Raises:
        UsageError: If the state directory is not cut.
        InterruptedRunError: If one is not finished; names all of them.
    """
    config = for_provider(config)
    look_at_state(config)
    places = list(slice_places(config))
    if not places:
        state = in_store(config) or config.state.dir
        raise UsageError(f"{state}: has no slices; `run CONFIG --slice INDEX/COUNT` makes one")
    missing, count = {}, len(places)
    working = at_work(config, places)
    for part, place in places:
        record = place.load()
        if part in working:
            missing[part.index] = f"{part.index}/{count} is at work as {working[part]}"
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
        UsageError: If a batch is under way.
    """
    state = for_provider(config).state.dir
    if (place := in_store(config)) is not None:
        from pipeline.job.remote.recutting import recut  # noqa: PLC0415 - few states are in a store

        return recut(place, state, count)
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
    folders = [building / str(Slice(index, count)) for index in range(count)]
    for folder in folders:
        make_private(folder)
    with ExitStack() as stack:
        return deal(store, [stack.enter_context(open_store(folder)) for folder in folders])


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
