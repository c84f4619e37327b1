"""Opening the ledger's file: the right file, intact, rebuilt if it is damaged. Everything here blocks."""

import errno
import logging
import os
import sqlite3
from collections.abc import Callable
from contextlib import ExitStack, nullcontext, suppress
from pathlib import Path
from typing import TypeVar

from pipeline.errors import ConfigError
from pipeline.ledger import swap
from pipeline.ledger.repair import rebuild
from pipeline.ledger.repair.verify import verify
from pipeline.ledger.schema import (
    ADD_SPENT,
    APPLICATION_ID,
    INDEX,
    INDEXED,
    OLDEST_VERSION,
    VERSION,
    DamagedError,
    create,
    is_damage,
)
from pipeline.system.atomic import make_new

log = logging.getLogger(__name__)

NEWEST_IMAGINABLE_VERSION = 99
"""A format beyond this one is damage: no version of the tool wrote it."""

BUSY_SECONDS = 60.0
"""How long to wait while another run on this host writes to the same ledger."""

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]


class OpenFile:
    """The file at a path, open as a ledger; for one thread at a time.

    If it turns out to be damaged, when it is opened or later, a new file with every intact answer replaces it. If
    another run has replaced it, the new file is opened: nothing is written to a file that was moved away.

    Attributes:
        connection: The connection to the file that is open now.
    """

    def __init__(self, path: Path) -> None:
        """Open *path*, creating it if need be.

        Raises:
            ConfigError: If it is of another format.
            CannotCreateError: If it is not a ledger.
            DiskError: If it is damaged and there is no room for a new one.
            sqlite3.Error, OSError: If it cannot be read or written.
        """
        self._path = path
        self._identity: tuple[int, int] | None = None
        self.connection: sqlite3.Connection
        self._open()

    def do(self, work: "Work[T]", *, writes: bool = False) -> T:
        """Do *work* on the file; if that finds damage, rebuild the file and do it once more."""
        try:
            return self._do(work, writes=writes)
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            self.rebuild(str(error))
        return self._do(work, writes=writes)

    def rebuild(self, reason: str) -> None:
        """Replace the file by a new one with every intact answer, unless another run has replaced it already."""
        with swap.exclusive(self._path.parent), ExitStack() as closed_last:
            is_still_there = swap.identity(self._path) == self._identity
            closed_last.callback(self.connection.close)
            self._identity = None
            swap.complete_replacement(self._path)
            if is_still_there:
                rebuild.rebuild(self._path, reason)
            self._connect(closed_last)

    def close(self) -> None:
        """Close the file."""
        with ExitStack() as stack:
            # The last connection to close removes the log: the lock sees to it that it is still this file's log.
            with suppress(OSError):
                stack.enter_context(swap.shared(self._path.parent))
            self.connection.close()

    def _do(self, work: "Work[T]", *, writes: bool) -> T:
        while True:
            with swap.shared(self._path.parent) if writes else nullcontext():
                found = swap.identity(self._path)
                if found == self._identity:
                    return work(self.connection)
                if found is None:
                    log.warning("%s: was removed while it was in use; its answers have gone", self._path)
            self.connection.close()  # another run has rebuilt the ledger, or it was removed
            self._open()

    def _open(self) -> None:
        """Open the file; if it is new or looks damaged, again with the exclusive lock."""
        closed_last = ExitStack()
        with swap.shared(self._path.parent):
            if swap.size(self._path):
                with suppress(DamagedError):  # it may only look damaged, because another run is writing to it
                    self._connect(closed_last)
                    return
        with swap.exclusive(self._path.parent), closed_last:
            swap.complete_replacement(self._path)
            try:
                self._connect(closed_last)
            except DamagedError as error:
                rebuild.rebuild(self._path, str(error))
                self._connect(closed_last)

    def _connect(self, closed_last: ExitStack) -> None:
        """Connect to the file and verify it.

        The connection to a damaged file is closed by *closed_last*, after the file was moved away: SQLite would
        write the log into it, over answers that can still be carved out.
        """
        if self._path.is_symlink():  # SQLite would follow it
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        if not swap.size(self._path):
            if swap.size(swap.companion(self._path, swap.LOG)):
                raise DamagedError("it is empty")  # SQLite would remove the log
            if swap.identity(self._path) is not None:
                log.warning("%s: was empty; if it ever held answers, restore a backup", self._path)
            make_new(self._path)
        connection = sqlite3.connect(
            self._path,
            timeout=BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=64,
        )
        try:
            _prepare(connection, self._path)
            verify(connection)
        except BaseException as error:
            if isinstance(error, Exception) and is_damage(error):
                closed_last.callback(connection.close)
                raise DamagedError(str(error)) from error
            connection.close()
            raise
        self.connection, self._identity = connection, swap.identity(self._path)


def check_format(connection: sqlite3.Connection, path: Path) -> int:
    """Check whose file it is, and return the version of its format; 0 for an empty one.

    Raises:
        ConfigError: If it is of another format.
        DamagedError: If it is not a ledger.
    """
    execute = connection.execute
    # The first statement makes SQLite read the log, up to the first frame whose checksum is wrong. Answers after
    # that are lost and asked again; those in the file itself are not affected.
    version = execute("PRAGMA user_version").fetchone()[0]
    is_ledger = execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID
    if not is_ledger and execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
        raise DamagedError("it does not say that it is a ledger")
    if is_ledger:
        ensure_known_format(version, path)
    if version and not OLDEST_VERSION <= version <= VERSION:
        raise DamagedError("it does not say which version wrote it")
    return int(version)


def ensure_known_format(version: int, path: Path) -> None:
    """Check that a ledger's format is not one of another version of the program.

    Raises:
        ConfigError: If it is.
    """
    if VERSION < version <= NEWEST_IMAGINABLE_VERSION:
        raise ConfigError(
            f"{path}: written by a newer version of pipeline (format {version}); update pipeline"
        )
    if 0 < version < OLDEST_VERSION:
        raise ConfigError(
            f"{path}: of format {version}, which this version of pipeline cannot read; move it away or change state.dir"
        )


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Check whose file it is, set the connection up, and create the tables of a new file."""
    version, execute = check_format(connection, path), connection.execute
    execute("PRAGMA journal_mode = WAL")  # one sync a commit, and look-ups do not wait for a commit
    execute("PRAGMA synchronous = FULL")  # NORMAL would lose the last commits when the power goes
    execute("PRAGMA cache_size = -8000")
    if not version:
        with transaction(connection):
            create(connection)


def index(connection: sqlite3.Connection) -> None:
    """Add all answers to the index that are not in it yet."""
    with transaction(connection):
        connection.execute(ADD_SPENT)  # first: it looks up in `latest` what the new answers replace
        connection.execute(INDEX)
        connection.execute(INDEXED)


class transaction:  # noqa: N801 - reads as a statement
    """One write transaction: committed if the block succeeds, else rolled back.

    A class, because a generator takes longer and every group of answers enters one.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if kind is None:
            self._connection.execute("COMMIT")  # SQLite itself rolls back if the disk fails
        elif self._connection.in_transaction:
            self._connection.execute("ROLLBACK")
