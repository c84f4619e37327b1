"""The state directory: whether it can be written, which runs are working in it, and how it is cut into slices."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from pipeline.config import Config
from pipeline.config.slices import Slice, count_of, slice_folder, slices_below
from pipeline.errors import CannotCreateError, UsageError
from pipeline.job.workspace import RunRecord, Workspace, workspace

LEDGER = "ledger.sqlite"


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


def _ensure_writable(folder: Path) -> None:
    existing = folder
    while not os.path.lexists(existing):
        existing = existing.parent
    if not existing.is_dir():
        raise CannotCreateError(f"{existing}: is no folder; check state.dir")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise CannotCreateError(f"{existing}: cannot be written; check state.dir")


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


def config_of(config: Config, part: Slice) -> Config:
    """Return *config* as the run of a slice has it: with a state directory of its own, and its share of the limits.

    Raises:
        UsageError: If the state directory is not cut into so many slices, but has answers.
    """
    state = config.state.dir
    count = count_of(slices_below(state)) or int((state / LEDGER).exists())
    if count not in {0, part.count}:
        is_cut = f"is cut into {count} slices" if count > 1 else "has a ledger that is not cut"
        raise UsageError(f"{state}: {is_cut}; `ledger reslice CONFIG {part.count}` cuts it into {part.count}")
    folder = slice_folder(state, part)
    return config.model_copy(
        update={
            "limits": config.limits.divided(part),
            "state": config.state.model_copy(update={"dir": folder}),
        }
    )


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
