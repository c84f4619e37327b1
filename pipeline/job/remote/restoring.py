"""Bring a state from its store to the copy on this machine: the newest snapshot, then every segment that it does not have."""

from pathlib import Path

from pipeline import storage
from pipeline.errors import CannotCreateError, DiskError
from pipeline.job.remote.copied import Copied
from pipeline.job.remote.files import fetch_files
from pipeline.job.remote.segments import (
    last_id,
    merge,
    restore_snapshot,
    segment_folder,
    snapshot_folder,
)
from pipeline.ledger.opening import FILE
from pipeline.system.places import ObjectPath, Unreachable

ROUNDS = 5
"""How often it is begun anew because segments have become part of a snapshot meanwhile."""


def restore(store: ObjectPath, folder: Path, copied: Copied, *, with_files: bool) -> None:
    """Add what the *store* has to the copy in *folder*, which has *copied* of it; all of the copy's own answers are in the store.

    Raises:
        CannotCreateError: If the store refuses.
        DiskError: If the store is unavailable, or the disk is full.
    """
    for _ in range(ROUNDS):
        try:
            _restore(store, folder, copied)
        except FileNotFoundError:
            continue
        except Unreachable as error:
            raise CannotCreateError(f"{store}: {error.strerror}; check state.dir") from error
        except OSError as error:
            raise DiskError(f"{store}: cannot be copied to {folder} ({error.strerror or error})") from error
        if with_files:
            fetch_files(folder, store, copied)
        copied.save(folder)
        return
    raise DiskError(
        f"{store}: what was listed in it has gone again and again; is another program cleaning it up?"
    )


def _restore(store: ObjectPath, folder: Path, copied: Copied) -> None:
    segments = {place.name: place for place in storage.files_below(segment_folder(store))}
    snapshots = [each for each in storage.files_below(snapshot_folder(store)) if each.suffix == ".zst"]
    newest = snapshots[-1] if snapshots else None
    if newest is not None and newest.name > copied.snapshot:
        for path in folder.glob(f"{FILE}*"):
            path.unlink()
        copied.segments = restore_snapshot(folder, newest)
        copied.snapshot = newest.name
    missing = [name for name in sorted(segments) if name not in set(copied.segments)]
    merge(folder, [segments[name] for name in missing])
    copied.segments = sorted(segments)
    copied.shipped = last_id(folder)
