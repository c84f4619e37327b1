"""Slices: work that is cut by key for several processes, and the folders in which each keeps its state."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import CannotCreateError, UsageError
from pipeline.system.places import ObjectPath

FOLDER = "slices"
READY = "slices.ready"
"""Where slices are once they were cut anew, until they have taken the place of the earlier ones."""

WHOLE = -1
"""Stands for the number of slices of a state that has answers and is not cut."""

NAME = re.compile(r"(\d+)-of-(\d+)")


@dataclass(frozen=True, slots=True)
class Slice:
    """The share of the work that one of several processes does: the keys that fall to it.

    A key falls to one slice, so that no two ask about it. Keys are hashes, so that slices are even.

    Attributes:
        index: Which one, from 0.
        count: Of how many.
    """

    index: int
    count: int

    def __str__(self) -> str:
        return f"{self.index}-of-{self.count}"

    def owns(self, key: bytes | None) -> bool:
        """Return whether *key* falls to this slice; a row without text, which has none, falls to nobody."""
        return key is not None and slice_of(key, self.count) == self.index


def slice_of(key: bytes, count: int) -> int:
    """Return the index of the slice, of *count*, that *key* falls to."""
    return int.from_bytes(key[:8]) % count


def slice_named(name: Slice | str | None) -> Slice | None:
    """Return the slice that *name*, such as `0/4`, stands for.

    Raises:
        UsageError: If it stands for none.
    """
    if name is None or isinstance(name, Slice):
        return name
    match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", name) if isinstance(name, str) else None
    if match is None or not int(match[1]) < int(match[2]):
        raise UsageError(
            f"slice: {name!r} is none; write INDEX/COUNT with an index from 0, such as 0/4 and 3/4"
        )
    return Slice(int(match[1]), int(match[2]))


def ensure_engine(engine: object, address: object, *, part: object) -> None:
    """Check who is to ask: this machine if *engine* is None, or a Ray cluster at *address*, but for no *part* of the rows.

    Raises:
        UsageError: If that is nothing that there is, or contradicts itself.
    """
    if engine not in {None, "ray"}:
        raise UsageError(f"engine: there is no {engine!r}; there is ray")
    if engine is None and address is not None:
        raise UsageError("address: is that of a Ray cluster; give the engine ray, too, or leave it out")
    if engine is not None and part is not None:
        raise UsageError("engine: a cluster labels all rows; leave limit, sample and slice out")


def slices_below(state: Path) -> dict[Slice, Path]:
    """Return the folder of each slice that the state directory *state* has.

    Raises:
        CannotCreateError: If it cannot be read.
    """
    try:
        folders = sorted(_place(state).glob("*-of-*"))
    except OSError as error:
        raise CannotCreateError(f"{state}: cannot be read: {error}; check state.dir") from error
    found = ((NAME.fullmatch(folder.name), folder) for folder in folders)
    return {Slice(int(match[1]), int(match[2])): folder for match, folder in found if match}


def count_of(slices: Iterable[Slice]) -> int:
    """Return into how many slices a state directory is cut that has these; 0 for one that is not cut."""
    return max((part.count for part in slices), default=0)


def slice_folder(state: Path, part: Slice) -> Path:
    """Return the folder of a slice, which is a state directory itself."""
    return _place(state) / str(part)


def slice_store(store: ObjectPath, part: Slice) -> ObjectPath:
    """Return the same of a state in an object store."""
    return store / FOLDER / str(part)


def _place(state: Path) -> Path:
    return state / (READY if (state / READY).exists() else FOLDER)
