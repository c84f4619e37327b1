"""Opening the ledger of a state directory, for a run or for another command."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import CannotCreateError, DiskError, PipelineError
from pipeline.ledger import spill
from pipeline.ledger.store import Store
from pipeline.system.atomic import make_private

FILE = "ledger.sqlite"


def open_store(folder: Path) -> Store:
    """Open the ledger file in *folder*, ingest what an earlier run had to spill, and renew the ballast.

    Raises:
        ConfigError: If it is of another format.
        CannotCreateError: If the file cannot be created or is not a ledger.
        DiskError: If there is no room for the spilled answers; they stay where they are.
    """
    path = folder / FILE
    try:
        make_private(folder)
        store = Store(path)
    except (sqlite3.Error, OSError) as error:
        raise CannotCreateError(f"{path}: cannot be opened as a ledger: {error}; check state.dir") from error
    try:
        spill.ingest_spilled(folder, store)
        spill.renew_ballast(folder)
    except (sqlite3.Error, OSError) as error:
        store.close()
        raise disk_error(folder, error) from error
    except PipelineError:
        store.close()
        raise
    return store


@contextmanager
def opened(folder: Path) -> Iterator[Store | None]:
    """Open the ledger in *folder* for a command other than a run; None if there is none yet.

    Raises:
        CannotCreateError: If the file is not a ledger, or this user may not read the folder.
        DiskError: If it cannot be read or written.
    """
    if folder.exists() and not os.access(folder, os.R_OK | os.X_OK):
        raise CannotCreateError(f"{folder}: cannot be read; check its permissions, or who you are")
    if not any(folder.glob(f"{FILE}*")):  # not the file alone: a rebuild may have been interrupted
        yield None
        return
    with open_store(folder) as store:
        try:
            yield store
        except sqlite3.Error as error:
            raise disk_error(folder, error) from error


def disk_error(folder: Path, error: Exception) -> DiskError:
    """Return *error* of the ledger in *folder* as an error with a remedy."""
    fix = "make room" if "full" in str(error) or "No space" in str(error) else "repair the disk"
    return DiskError(f"{folder / FILE}: {error}; {fix}, then run again")
