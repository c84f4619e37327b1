"""The ledger's files in their folder: who may touch them, and how a rebuilt one takes a damaged one's place.

Everybody who writes holds a shared lock of the folder; whoever makes the file, or puts another in its place,
holds it alone. A run that finds another file at the path than the one it has open opens that one.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from pipeline.system.atomic import sync

BESIDE = ("-wal", "-shm")
"""What SQLite keeps beside a file: the write-ahead log and its index."""


@contextmanager
def shared(folder: Path) -> Iterator[None]:
    """Keep the ledger in *folder* in its place meanwhile."""
    with _locked(folder, fcntl.LOCK_SH):
        yield


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep other runs on this host from writing to the ledger in *folder* and from opening it meanwhile."""
    with _locked(folder, fcntl.LOCK_EX):
        yield


@contextmanager
def _locked(folder: Path, how: int) -> Iterator[None]:
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, how)
        yield
    finally:
        os.close(handle)


def identity(path: Path) -> tuple[int, int] | None:
    """Return what tells the file at *path* from any other; None if there is none."""
    try:
        found = os.stat(path)  # noqa: PTH116 - half the time of Path.stat, and this is asked for every commit
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def size(path: Path) -> int:
    """Return the size of *path* in bytes; 0 if there is no such file."""
    return path.stat().st_size if path.exists() else 0


def beside(path: Path, suffix: str) -> Path:
    """Return the path of what SQLite keeps beside *path*."""
    return path.with_name(path.name + suffix)


def replace(path: Path, rebuilt: Path) -> Path:
    """Move the file at *path* and what is beside it away, put *rebuilt* there; return where the old one is.

    May be interrupted at any instant: `settle` completes it. Only for who is `alone`.
    """
    sync(rebuilt)
    stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}"
    ready = beside(path, f".rebuilt-{stamp}")
    rebuilt.rename(ready)
    sync(path.parent)
    return _swap(path, ready)


def settle(path: Path) -> None:
    """Complete a replacement that was interrupted. Only for who is `alone`.

    Once the damaged file has been moved away there is no way back, for whoever had it open may have begun
    anew. Until then there is no way on: answers may have been added to it after it was read.
    """
    for ready in sorted(path.parent.glob(f"{path.name}.rebuilt-*")):
        if path.exists():
            ready.unlink()
        else:
            _swap(path, ready)


def _swap(path: Path, ready: Path) -> Path:
    aside = beside(path, ready.name.removeprefix(path.name).replace("rebuilt", "damaged"))
    # The file first: see `settle`. Then its log, before the new file comes: SQLite would replay it there.
    for suffix in ("", *BESIDE):
        if beside(path, suffix).exists():
            beside(path, suffix).rename(beside(aside, suffix))
    sync(path.parent)
    ready.rename(path)
    sync(path.parent)
    return aside
