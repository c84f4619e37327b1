"""The book of batches that are under way, in the state directory: what was asked in which. Everything here blocks.

It is written before anything is sent, and a batch is struck out once its answers are in the ledger. A prompt's key in it is
"being asked": nobody asks it again.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Self

from pipeline.errors import DiskError
from pipeline.system.atomic import make_private

FILE = "batches.sqlite"
FOLDER = ".batches"
"""Where the files lie until they are handed in; what is left of a killed run is made anew."""

BUSY_SECONDS = 60.0
KEYS_PER_STATEMENT = 4096

SCHEMA = """
CREATE TABLE IF NOT EXISTS batches (
    intent TEXT PRIMARY KEY, run TEXT NOT NULL, endpoint TEXT NOT NULL, lines INTEGER NOT NULL, bound_usd REAL NOT NULL,
    written_at REAL NOT NULL, file TEXT, tried_at REAL, batch TEXT
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS asked (key BLOB PRIMARY KEY, intent TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS asked_by_intent ON asked (intent);
"""


class Submission(NamedTuple):
    """A batch that is to be made, or has been.

    Attributes:
        intent: Its name, which the provider keeps with it.
        run: The run that pays for it.
        endpoint: Whom it was handed to.
        lines: How many prompts it asks about.
        bound_usd: What it may cost at most, where there is a budget.
        written_at: Unix time at which it was decided upon.
        file: The id of its file at the provider; None if it is not there yet.
        tried_at: Unix time at which its creation was asked for; None if it was not, or surely failed.
        batch: Its id at the provider; None if that is not known.
    """

    intent: str
    run: str
    endpoint: str
    lines: int
    bound_usd: float
    written_at: float
    file: str | None = None
    tried_at: float | None = None
    batch: str | None = None


class Book:
    """The open book of one state directory; one call at a time."""

    def __init__(self, state: Path) -> None:
        """Open the book in the state directory *state*, creating it if need be."""
        self._path = state / FILE
        with self._told():
            make_private(state)
            self._connection = sqlite3.connect(
                self._path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            self._path.chmod(0o600)
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = FULL")  # what is in it survives a power cut
            for statement in SCHEMA.strip().split(";\n"):
                self._connection.execute(statement)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def add(self, submission: Submission, keys: Iterable[bytes]) -> None:
        """Write down that *submission* will ask about *keys*."""
        with self._transaction() as execute:
            execute("INSERT INTO batches VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", submission)
            self._connection.executemany(
                "INSERT INTO asked VALUES (?, ?)", ((key, submission.intent) for key in sorted(keys))
            )

    def update(self, submission: Submission) -> None:
        """Write down how far *submission* has come."""
        with self._transaction() as execute:
            execute(
                "UPDATE batches SET file = ?, tried_at = ?, batch = ? WHERE intent = ?",
                (submission.file, submission.tried_at, submission.batch, submission.intent),
            )

    def strike(self, intent: str) -> None:
        """Strike a submission out: its answers are in the ledger, or there will be none."""
        with self._transaction() as execute:
            execute("DELETE FROM asked WHERE intent = ?", (intent,))
            execute("DELETE FROM batches WHERE intent = ?", (intent,))

    def submissions(self) -> list[Submission]:
        """Return all, the oldest first."""
        with self._told():
            rows = self._connection.execute("SELECT * FROM batches ORDER BY written_at, intent").fetchall()
        return [Submission(*row) for row in rows]

    def keys(self, intent: str) -> set[bytes]:
        """Return the keys that a submission asks about."""
        with self._told():
            return {
                key
                for (key,) in self._connection.execute("SELECT key FROM asked WHERE intent = ?", (intent,))
            }

    def being_asked(self, keys: Sequence[bytes]) -> Mapping[bytes, str]:
        """Return which of *keys* are being asked, and in which submission."""
        found: dict[bytes, str] = {}
        with self._told():
            for at in range(0, len(keys), KEYS_PER_STATEMENT):
                some = keys[at : at + KEYS_PER_STATEMENT]
                marks = ",".join("?" * len(some))
                found.update(
                    self._connection.execute(f"SELECT key, intent FROM asked WHERE key IN ({marks})", some)  # noqa: S608
                )
        return found

    @contextmanager
    def _transaction(self) -> Iterator[Callable[..., sqlite3.Cursor]]:
        with self._told():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection.execute
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise DiskError(
                f"{self._path}: {error}; it says which batches are under way at the provider: repair the disk, then run again"
            ) from error


def is_under_way(state: Path) -> bool:
    """Return whether the book of the state directory *state*, if there is one, has a batch in it."""
    if not (state / FILE).exists():
        return False
    with Book(state) as book:
        return bool(book.submissions())
