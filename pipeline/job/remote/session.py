"""The opening and closing of a state that lies in an object store: one process works with it, others may look at it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex

from pipeline.config.slices import NAME
from pipeline.errors import CannotCreateError, DiskError, LockedError
from pipeline.job.remote.copied import Copied
from pipeline.job.remote.restoring import restore
from pipeline.job.remote.segments import last_id
from pipeline.job.remote.shipping import Shipping
from pipeline.storage import Held
from pipeline.storage.lease import Lease
from pipeline.system.atomic import make_private, write
from pipeline.system.lock import Lock
from pipeline.system.places import ObjectPath


@contextmanager
def stored_state(store: ObjectPath, folder: Path) -> Iterator[Held]:
    """Work with the state in *store* while the block runs, in its copy in *folder*; yields its lease.

    Raises:
        LockedError: If another process works with it, which is named.
        CannotCreateError: If the store or the folder cannot be written.
        DiskError: If the store is unavailable.
    """
    with _copy(folder, store) as token:
        lease = Lease(store / "lease.json", store, "state.dir", token, stays=True)
        with lease.held():
            copied = Copied.load(folder)
            shipping = Shipping(store, folder, copied, lease)
            was_ours = copied.epoch == lease.epoch - 1
            try:
                shipping.ship_leftovers()
            except OSError as error:
                raise DiskError(f"{store}: cannot be written ({error}); run again once it can") from error
            restore(store, folder, copied, with_files=not was_ours)
            copied.epoch = lease.epoch
            copied.save(folder)
            shipping.start()
            finished = False
            try:
                yield lease
                finished = True
            finally:
                shipping.close(finished=finished)


def look_at(store: ObjectPath, folder: Path) -> None:
    """Bring the copy of the state in *store* up to date, unless a process on this machine works with it."""
    with suppress(LockedError), _copy(folder, store):
        copied = Copied.load(folder)
        if last_id(folder) > copied.shipped:
            return  # a run was killed here; the next one ships what it has paid for
        copied.epoch = -1
        restore(store, folder, copied, with_files=True)


@contextmanager
def _copy(folder: Path, store: ObjectPath) -> Iterator[str]:
    """Have the copy in *folder* for this process alone while the block runs; yields its name, which no other copy has."""
    try:
        make_private(folder)
        for each in (folder, *folder.parents)[: 4 if NAME.fullmatch(folder.name) else 2]:
            if each.stat().st_uid != os.getuid():
                raise PermissionError(f"{each} is another user's")
    except OSError as error:
        raise CannotCreateError(
            f"{folder}: cannot be written: {error}; set TMPDIR to a folder of yours"
        ) from error
    with Lock(folder / "lock", store, "TMPDIR").held():
        path = folder / ".name"
        if not path.exists():
            write(path, token_hex(16).encode())
        yield path.read_text()
