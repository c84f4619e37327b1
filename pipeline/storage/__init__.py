"""Where the user's tables lie: the few verbs by which they are listed, read and replaced, on the local disk or as objects.

No caller asks which of them it is: a place knows. What is local by nature does without: the state directory, the copies in
it, and temporary files.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar, runtime_checkable

import pyarrow as pa

from pipeline.storage import local
from pipeline.storage.local import make_folder, temporary_folder
from pipeline.system.places import ObjectPath, Place, is_object, is_pattern

if TYPE_CHECKING:
    from pipeline.storage import objects

__all__ = [
    "Both",
    "Held",
    "Leash",
    "Lockable",
    "Stamp",
    "ensure_writable",
    "entries",
    "exists",
    "files_below",
    "is_delta_table",
    "is_file",
    "is_folder",
    "is_pattern",
    "lock",
    "make_folder",
    "matching",
    "open_arrow",
    "open_file",
    "remove",
    "replacing",
    "replacing_folder",
    "resolved",
    "stamp",
    "sweep",
    "target",
    "temporary_folder",
    "whole_stamp",
]

Stamp: TypeAlias = "local.Stamp | objects.Stamp"
"""What a store says about a file; a different stamp means that the bytes may differ."""

P = TypeVar("P", bound=Place)


class Leash(Protocol):
    """A lock that is held by this process, or by the one that it works for."""

    def ensure_held(self) -> None:
        """Check that no other process can hold the lock. Blocks.

        Raises:
            LockedError: If another may.
        """


@runtime_checkable
class Held(Leash, Protocol):
    """A lock that this process holds."""

    def leashes(self, folder: Path) -> Sequence[Leash]:
        """Return what a process needs that works for this one, to see that it still may; *folder* takes what tells it."""


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

    def leashes(self, folder: Path) -> list[Leash]:
        """Return what a process needs that works for this one, to see that it still may."""
        return [*self.first.leashes(folder), *self.second.leashes(folder)]


class Lockable(Held, Protocol):
    """A lock."""

    def held(self) -> AbstractContextManager[None]:
        """Hold the lock while the block runs; see `system.lock`."""


def _home(place: Place) -> Any:
    """Return the module with the verbs for *place*; what reaches object stores is loaded only for them."""
    if isinstance(place, ObjectPath):
        from pipeline.storage import objects  # noqa: PLC0415

        return objects
    return local


def stamp(place: Place) -> Stamp:
    """Take the stamp of the file at *place*.

    Raises:
        OSError: If there is no such file.
    """
    found: Stamp = _home(place).stamp(place)
    return found


def whole_stamp(place: Place) -> str:
    """Return a hash that changes when the file or the folder at *place* is changed or replaced; "" if it is missing."""
    return str(_home(place).whole_stamp(place))


def exists(place: Place) -> bool:
    """Return whether something is at *place*."""
    return bool(_home(place).exists(place))


def is_file(place: Place) -> bool:
    """Return whether a regular file is at *place*."""
    return bool(_home(place).is_file(place))


def is_folder(place: Place) -> bool:
    """Return whether a folder is at *place*."""
    return bool(_home(place).is_folder(place))


def is_delta_table(place: Place) -> bool:
    """Return whether the folder at *place* is a Delta table; some of the files in it may have no row of it."""
    return is_folder(place / "_delta_log")


def entries(folder: Place) -> Iterator[tuple[str, bool]]:
    """Yield the name of each entry of *folder*, and whether it is a folder, in no order."""
    yield from _home(folder).entries(folder)


def files_below(place: P) -> list[P]:
    """Return the files in the folder at *place* and in all of its subfolders, sorted; of a file only itself."""
    return list(_home(place).files_below(place))


def matching(pattern: str) -> Iterator[Place]:
    """Yield what a glob matches, in no order."""
    yield from _home(ObjectPath(pattern) if is_object(pattern) else Path(pattern)).matching(pattern)


def resolved(place: P) -> P:
    """Return *place* without links."""
    found: P = _home(place).resolved(place)
    return found


def open_file(place: Place) -> BufferedReader:
    """Open the file at *place* to read ranges of its bytes."""
    found: BufferedReader = _home(place).open_file(place)
    return found


def open_arrow(place: Place) -> pa.NativeFile:
    """Open the file at *place* for pyarrow, which reads ranges of it; it must be closed."""
    return _home(place).open_arrow(place)


def target(place: P) -> P:
    """Create the output's folder and return its path with links resolved, because the target is what is replaced."""
    found: P = _home(place).target(place)
    return found


def remove(place: Place) -> None:
    """Remove a file, or a folder with all that is in it."""
    _home(place).remove(place)


def ensure_writable(place: Place) -> None:
    """Ensure that a file or a folder can appear at *place*, and that no two runs can take it at once.

    Raises:
        OSError: If it cannot.
    """
    _home(place).ensure_writable(place)


def sweep(place: Place) -> None:
    """Remove what killed processes have left beside *place*."""
    _home(place).sweep(place)


def lock(place: Place, setting: str, owner: Callable[[], str]) -> Lockable:
    """Return the lock beside the output at *place*.

    Args:
        place: The output.
        setting: The setting to check if the lock cannot be created.
        owner: Returns the name of the state directory, whose own lock the caller holds: where nothing tells that a lock's holder has died, that
            tells it.
    """
    found: Lockable = _home(place).lock(place, setting, owner)
    return found


def replacing(
    place: Place, *, before_rename: Callable[[], None] = lambda: None
) -> AbstractContextManager[Path]:
    """Return a context that yields a new, empty file on this machine, which replaces *place* if the block succeeds.

    *before_rename* is called once all of it is stored, right before it appears; raises to prevent that.
    """
    found: AbstractContextManager[Path] = _home(place).replacing(place, before_rename=before_rename)
    return found


def replacing_folder(
    place: Place,
    *,
    ensure_running: Callable[[], None] = lambda: None,
    before_rename: Callable[[], None] = lambda: None,
) -> AbstractContextManager[Path]:
    """Return a context that yields a new, empty folder on this machine, which replaces *place* if the block succeeds.

    Args:
        place: The folder to replace, whether it is there or not.
        ensure_running: Called for every file before it is stored; raises to stop.
        before_rename: Called right before it appears; raises to prevent that.
    """
    found: AbstractContextManager[Path] = _home(place).replacing_folder(
        place, ensure_running=ensure_running, before_rename=before_rename
    )
    return found
