"""The ledger's files in their folder: who may touch them, and how a rebuilt file replaces a damaged one.

Every writer holds a shared lock on the folder; whoever creates the file or replaces it holds the lock exclusively.
A run that finds another file at the path than the one it has open opens the new one.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from pipeline.system.atomic import sync

LOG = "-wal"
COMPANIONS = (LOG, "-shm")
"""Suffixes of the files that SQLite keeps beside a database: the write-ahead log and its index."""


@contextmanager
def shared(folder: Path) -> Iterator[None]:
    """Keep other runs on this host from replacing the ledger in *folder* while the block runs."""
    with _locked(folder, fcntl.LOCK_SH):
        yield


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Keep other runs on this host from opening the ledger in *folder*, and from writing to it."""
    with _locked(folder, fcntl.LOCK_EX):
        yield


@contextmanager
def _locked(folder: Path, operation: int) -> Iterator[None]:
    # The folder is locked, not the file: closing any descriptor of the file would drop SQLite's own locks on it.
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, operation)
        yield
    finally:
        os.close(handle)


def identity(path: Path) -> tuple[int, int] | None:
    """Return device and inode of the file at *path*; None if there is none."""
    try:
        found = os.stat(path)  # noqa: PTH116 - half the time of Path.stat, and every commit asks for it
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def size(path: Path) -> int:
    """Return the size of *path* in bytes; 0 if there is no such file."""
    return path.stat().st_size if path.exists() else 0


def companion(path: Path, suffix: str) -> Path:
    """Return the path beside *path* whose name ends with *suffix* in addition."""
    return path.with_name(path.name + suffix)


def replace(path: Path, rebuilt: Path) -> Path:
    """Move the file at *path* and its companions away and put *rebuilt* there; return where the old file is.

    May be interrupted at any instant: `complete_replacement` finishes it. The caller holds the `exclusive` lock.
    """
    sync(rebuilt)
    stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}"
    ready = companion(path, f".rebuilt-{stamp}")
    rebuilt.rename(ready)  # this name says that the file is complete
    sync(path.parent)
    return _swap(path, ready)


def complete_replacement(path: Path) -> None:
    """Finish or undo a replacement that was interrupted. The caller holds the `exclusive` lock."""
    for ready in sorted(path.parent.glob(f"{path.name}.rebuilt-*")):
        if path.exists():
            ready.unlink()  # a run that is alive may have added answers after the damaged file was read
        else:
            _swap(path, ready)  # nor can the old file come back: that run may have begun a new one since


def _swap(path: Path, ready: Path) -> Path:
    kept = companion(path, ready.name.removeprefix(path.name).replace("rebuilt", "damaged"))
    # The file goes first: see `complete_replacement`. Its log goes before the new file comes, or SQLite would
    # replay it there.
    for suffix in ("", *COMPANIONS):
        if companion(path, suffix).exists():
            companion(path, suffix).rename(companion(kept, suffix))
    sync(path.parent)
    ready.rename(path)
    sync(path.parent)
    return kept
