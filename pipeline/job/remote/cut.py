"""How a state in an object store is cut into slices: `cut.json` says into how many. Each slice is a state of its own below it."""

import shutil
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import orjson

from pipeline import storage
from pipeline.config.slices import WHOLE, Slice, slice_folder, slices_below
from pipeline.errors import CannotCreateError
from pipeline.job.remote.segments import segment_folder, snapshot_folder
from pipeline.storage import conditional
from pipeline.storage.conditional import Taken
from pipeline.storage.lease import Lease
from pipeline.system.atomic import make_private
from pipeline.system.places import ObjectPath

AT_ONCE = 32
"""Leases that are looked at at once."""


def count_in(store: ObjectPath) -> int:
    """Return into how many slices the state in *store* is cut; 0 if it is not.

    Raises:
        CannotCreateError: If that cannot be read.
        DiskError: If the store is unavailable.
    """
    try:
        found = conditional.read(_cut(store))
    except OSError as error:
        raise CannotCreateError(f"{store}: {error.strerror}; check state.dir") from error
    return int(orjson.loads(found.content)["slices"]) if found else 0


def cut(store: ObjectPath, count: int) -> int:
    """Cut the state in *store* into *count* slices, unless it is cut, or `WHOLE` with answers; return how many it has then.

    Of several processes that do so at once, one decides for all.

    Raises:
        CannotCreateError: If that cannot be read or written.
        DiskError: If the store is unavailable.
    """
    if found := count_in(store):
        return found
    try:
        if is_begun(store):
            return WHOLE
        conditional.put(_cut(store), orjson.dumps({"slices": count}), None)
    except Taken:
        return count_in(store)
    except OSError as error:
        raise CannotCreateError(f"{store}: {error.strerror}; check state.dir") from error
    return count


def record(store: ObjectPath, count: int) -> None:
    """Record that the state in *store* is cut into *count* slices, which are there; 1 for one that is not cut any more."""
    try:
        if count == 1:
            storage.remove(_cut(store))
        else:
            conditional.overwrite(_cut(store), orjson.dumps({"slices": count}))
    except OSError as error:
        raise CannotCreateError(f"{store}: {error.strerror}; check state.dir") from error


def is_begun(store: ObjectPath) -> bool:
    """Return whether the state in *store* has answers of its own, or a process works with it."""
    folders = segment_folder(store), snapshot_folder(store)
    return any(map(storage.is_folder, folders)) or bool(Lease(store / "lease.json", store, "", "").holder())


def live_holders(stores: Mapping[Slice, ObjectPath]) -> dict[Slice, str]:
    """Return which processes renew the leases of slices; who has been killed does not, which takes a while to see."""

    def look(store: ObjectPath) -> str | None:
        return Lease(store / "lease.json", store, "state.dir", "").live_holder()

    with ThreadPoolExecutor(AT_ONCE) as threads:
        found = zip(stores, threads.map(look, stores.values()), strict=True)
        return {part: holder for part, holder in found if holder is not None}


def mirror(folder: Path, count: int) -> None:
    """Have the copy in *folder* be cut into *count* slices, as its store is; those of another count hold nothing that is not in it."""
    for part, place in slices_below(folder).items():
        if part.count != count:
            shutil.rmtree(place, ignore_errors=True)
    for index in range(count):
        make_private(slice_folder(folder, Slice(index, count)))


def _cut(store: ObjectPath) -> ObjectPath:
    return store / "cut.json"
