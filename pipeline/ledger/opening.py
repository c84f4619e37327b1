"""Opening the ledger of a state directory, for a run or for another command."""

import errno
import os
import sqlite3
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from pipeline.config.slices import Slice, count_of, slice_folder, slices_below
from pipeline.errors import CannotCreateError, DiskError, InterruptedRunError, PipelineError
from pipeline.ledger import spill
from pipeline.ledger.database import BUSY_SECONDS, ensure_known_format
from pipeline.ledger.reading import opened_to_read
from pipeline.ledger.schema import APPLICATION_ID
from pipeline.ledger.slices import SlicedStore
from pipeline.ledger.store import Store
from pipeline.system.atomic import make_private

FILE = "ledger.sqlite"

HEADER = 100
"""Bytes of the header of SQLite's files, which holds the version and whose file it is."""

NOT_ALLOWED = {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_CANTOPEN}
"""SQLite's errors where it may not write or create a file."""


def open_store(folder: Path) -> Store:
    """Open the ledger in *folder*, or those of its slices as one; see `open_file`, whose errors it raises."""
    if not (slices := slices_below(folder)):
        return open_file(folder)
    count = count_of(slices)
    with ExitStack() as opened_so_far:
        stores = {part.index: opened_so_far.enter_context(open_file(place)) for part, place in slices.items()}
        opened_so_far.pop_all()
    return SlicedStore(stores, count, lambda index: open_file(slice_folder(folder, Slice(index, count))))


def open_file(folder: Path) -> Store:
    """Open the ledger file in *folder*, ingest what an earlier run had to spill, and renew the ballast.

    Raises:
        ConfigError: If it is of another format.
        CannotCreateError: If the file cannot be created or is not a ledger.
        DiskError: If there is no room for the spilled answers; they stay where they are.
        InterruptedRunError: If another process has locked the file for too long.
    """
    path = folder / FILE
    try:
        make_private(folder)
        _ensure_writable(path)
        store = Store(path)
    except (sqlite3.Error, OSError) as error:
        if is_locked(error):
            raise ledger_error(folder, error) from error
        raise CannotCreateError(f"{path}: cannot be opened as a ledger: {error}; check state.dir") from error
    try:
        spill.ingest_spilled(folder, store)
        spill.renew_ballast(folder)
    except (sqlite3.Error, OSError) as error:
        store.close()
        raise ledger_error(folder, error) from error
    except PipelineError:
        store.close()
        raise
    return store


def ensure_known(folder: Path) -> None:
    """Check that the ledger in *folder*, if there is one, is of a format that this version knows; writes nothing.

    Raises:
        ConfigError: If it is of another format.
    """
    path = folder / FILE
    with suppress(OSError):  # whether it can be read is another question
        with path.open("rb") as file:
            header = file.read(HEADER)
        _, version, application = (
            struct.unpack(">60sI4xI28x", header) if len(header) == HEADER else (b"", 0, 0)
        )
        if application == APPLICATION_ID:
            ensure_known_format(version, path)


@contextmanager
def opened(folder: Path) -> Iterator[Store | None]:
    """Open the ledger in *folder*, or those of its slices as one, for a command other than a run; None if there is none yet.

    Raises:
        CannotCreateError: If the file is not a ledger, or this user may not read the folder.
        DiskError: If it cannot be read or written.
    """
    if not (slices := slices_below(folder)):
        with _opened(folder) as store:
            yield store
        return
    with ExitStack() as stack:
        stores = {part.index: stack.enter_context(_opened(place)) for part, place in slices.items()}
        there = {index: store for index, store in stores.items() if store is not None}
        count = count_of(slices)
        yield (
            SlicedStore(there, count, lambda index: open_file(slice_folder(folder, Slice(index, count))))
            if there
            else None
        )


@contextmanager
def _opened(folder: Path) -> Iterator[Store | None]:
    if folder.exists() and not os.access(folder, os.R_OK | os.X_OK):
        raise CannotCreateError(f"{folder}: cannot be read; check its permissions, or who you are")
    if not any(folder.glob(f"{FILE}*")):  # not the file alone: a rebuild may have been interrupted
        yield None
        return
    try:
        # Somebody else's, or on a read-only disk: to look at it must not need more.
        is_ours = all(os.access(path, os.W_OK) for path in (folder, *folder.glob(FILE)))
        with open_store(folder) if is_ours else opened_to_read(folder / FILE) as store:
            yield store
    except (sqlite3.Error, OSError) as error:
        raise ledger_error(folder, error) from error


def ledger_error(folder: Path, error: Exception) -> PipelineError:
    """Return *error* of the ledger in *folder* as an error with a remedy."""
    path, code = folder / FILE, _primary_code(error)
    if is_locked(error):
        return InterruptedRunError(
            f"{path}: locked by another process for more than {BUSY_SECONDS:g} s; "
            "end what is writing to it or looks at it, then run again to continue"
        )
    if code in NOT_ALLOWED or getattr(error, "errno", None) in {errno.EROFS, errno.EACCES, errno.EPERM}:
        return CannotCreateError(f"{path}: cannot be written: {error}; check state.dir and its permissions")
    fix = "make room" if "full" in str(error) or "No space" in str(error) else "repair the disk"
    return DiskError(f"{path}: {error}; {fix}, then run again")


def is_locked(error: Exception) -> bool:
    """Return whether *error* means that another process has had the ledger for itself for too long."""
    return _primary_code(error) in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def _primary_code(error: Exception) -> int | None:
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def _ensure_writable(path: Path) -> None:
    """Check that a ledger that is there can be written: a run finds that out before its first request."""
    if path.exists() and not os.access(path, os.W_OK):
        raise CannotCreateError(f"{path}: cannot be written; check its permissions, or who you are")
