"""The ledger's file: SQLite tables and the few statements that touch them. Everything here blocks.

Answers are appended in the order of their arrival, which costs the same however many there are. The table
`latest` leads from a key to its newest answer; it is brought up to date a set at a time, in key order,
because single random insertions would touch a page each.
"""

import fcntl
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from operator import attrgetter
from pathlib import Path
from typing import Any, Self
from zlib import crc32

import orjson

from pipeline.errors import ConfigError
from pipeline.records import Answer, Status

VERSION = 1
APPLICATION_ID = 0x70697065  # "pipe", so that `file` and a person can tell whose file this is
BUSY_SECONDS = 60.0
"""How long to wait while another run on this host writes to the same ledger."""

KEYS_PER_STATEMENT = 512

SCHEMA = """
CREATE TABLE IF NOT EXISTS answers (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    key BLOB NOT NULL, run TEXT NOT NULL, text TEXT, finish TEXT, status TEXT, error TEXT, logprobs TEXT,
    prompt_tokens INTEGER, cached_tokens INTEGER, completion_tokens INTEGER, cost_usd REAL,
    model TEXT, request_id TEXT, attempts INTEGER NOT NULL, asks INTEGER NOT NULL, at REAL NOT NULL,
    checksum INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS latest (key BLOB PRIMARY KEY, id INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS progress (only INTEGER PRIMARY KEY CHECK (only = 1), indexed INTEGER NOT NULL) STRICT;
INSERT OR IGNORE INTO progress VALUES (1, 0);
"""

FIELDS = tuple(field.name for field in fields(Answer))
COLUMNS = ", ".join(FIELDS)
INSERT = f"INSERT INTO answers ({COLUMNS}, checksum) VALUES ({', '.join('?' * (len(FIELDS) + 1))})"  # noqa: S608
SELECT = "SELECT " + ", ".join(f"a.{name}" for name in FIELDS) + ", a.checksum FROM answers a"  # noqa: S608
INDEX = """
INSERT INTO latest
SELECT key, max(id) FROM answers WHERE id > (SELECT indexed FROM progress) GROUP BY key ORDER BY key
ON CONFLICT (key) DO UPDATE SET id = excluded.id
"""
REINDEX = "INSERT OR IGNORE INTO latest SELECT key, max(id) FROM answers GROUP BY key ORDER BY key"
TOTALS = """
SELECT run, count(*), total(prompt_tokens), total(cached_tokens), total(completion_tokens), sum(cost_usd), min(at), max(at)
FROM answers WHERE id IN (SELECT max(id) FROM answers {} GROUP BY run, key) GROUP BY run ORDER BY min(at)
"""

STATUS = FIELDS.index("status")
REALS = (FIELDS.index("cost_usd"), FIELDS.index("at"))

values_of = attrgetter(*FIELDS)


@dataclass(frozen=True, slots=True)
class RunTotals:
    """What one run has paid for, as the ledger knows it."""

    run: str
    answers: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    cost_usd: float | None
    first_at: float
    last_at: float


def checksum(values: Sequence[object]) -> int:
    """Return the CRC-32 over an answer's fields: SQLite itself does not notice a flipped bit in a cell."""
    return crc32(orjson.dumps(values[1:]), crc32(values[0]))  # type: ignore[arg-type]


class Store:
    """An open ledger file; for one thread at a time."""

    def __init__(self, path: Path) -> None:
        """Open *path*, creating it if need be.

        Raises:
            ConfigError: If a newer version of the tool wrote it.
            sqlite3.Error: If it is no ledger or cannot be read.
        """
        path.touch(mode=0o600)
        self._connection = sqlite3.connect(
            path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False, cached_statements=64
        )
        self.damaged = 0
        try:
            with _alone_in(path.parent):
                self._prepare(path)
        except BaseException:
            self._connection.close()
            raise

    def _prepare(self, path: Path) -> None:
        execute = self._connection.execute
        version = execute("PRAGMA user_version").fetchone()[0]
        if version > VERSION:
            raise ConfigError(
                f"{path}: written by a newer version of pipeline (format {version}); update pipeline"
            )
        execute("PRAGMA journal_mode = WAL")
        execute("PRAGMA synchronous = FULL")  # NORMAL would lose the last commits when the power goes
        execute("PRAGMA cache_size = -4000")
        if version < VERSION:
            execute("BEGIN IMMEDIATE")
            for statement in SCHEMA.strip().split(";\n"):
                execute(statement)
            execute(f"PRAGMA application_id = {APPLICATION_ID}")
            execute(f"PRAGMA user_version = {VERSION}")
            execute("COMMIT")

    def append(self, answers: Iterable[Answer]) -> None:
        """Make *answers* durable, in one transaction."""
        rows = [_row(answer) for answer in answers]
        with _transaction(self._connection):
            self._connection.executemany(INSERT, rows)

    def look_up(self, keys: Sequence[bytes]) -> dict[bytes, Answer]:
        """Return the newest answer of each of *keys* that has one."""
        self.index()
        found: dict[bytes, Answer] = {}
        ordered = sorted(keys)
        for start in range(0, len(ordered), KEYS_PER_STATEMENT):
            some = ordered[start : start + KEYS_PER_STATEMENT]
            marks = ",".join("?" * len(some))
            query = f"{SELECT} JOIN latest l ON l.id = a.id WHERE l.key IN ({marks})"
            for answer in self._answers(self._connection.execute(query, some)):
                found[answer.key] = answer
        return found

    def index(self) -> None:
        """Lead `latest` to all answers that were appended, by whichever process."""
        behind = "SELECT max(id) > (SELECT indexed FROM progress) FROM answers"
        if not self._connection.execute(behind).fetchone()[0]:
            return
        with _transaction(self._connection):
            self._connection.execute(INDEX)
            self._connection.execute("UPDATE progress SET indexed = (SELECT max(id) FROM answers)")

    def answers(self) -> Iterator[Answer]:
        """Yield the newest answer of every key, in the order of their arrival."""
        self.index()
        return self._answers(self._connection.execute(f"{SELECT} JOIN latest l ON l.id = a.id ORDER BY a.id"))

    def _answers(self, rows: Iterable[tuple[Any, ...]]) -> Iterator[Answer]:
        for row in rows:
            if checksum(row[:-1]) != row[-1]:
                self.damaged += 1  # as if it were not there: it is asked again
                continue
            values = list(row[:-1])
            values[STATUS] = Status(values[STATUS]) if values[STATUS] else None
            yield Answer(*values)

    def spent(self, run: str) -> float:
        """Return the US dollars that *run* has paid, where prices are known."""
        return sum(totals.cost_usd or 0.0 for totals in self.totals(run))

    def totals(self, run: str | None = None) -> list[RunTotals]:
        """Return what each run, or only *run*, has paid for, oldest first.

        An answer that was asked again in the same run holds the sum of both, so only the newest of each counts.
        """
        query = TOTALS.format("WHERE run = ?" if run else "")
        rows = self._connection.execute(query, (run,) if run else ())
        return [RunTotals(r[0], r[1], int(r[2]), int(r[3]), int(r[4]), *r[5:]) for r in rows]

    def prune(self, before: float) -> int:
        """Delete answers that arrived before *before* (Unix time) and give their space back; return how many."""
        self.index()
        with _transaction(self._connection):
            self._connection.execute(
                "DELETE FROM latest WHERE id IN (SELECT id FROM answers WHERE at < ?)", (before,)
            )
            count = self._connection.execute("DELETE FROM answers WHERE at < ?", (before,)).rowcount
            # Where the clock had been set back, an answer that stays may be behind a newer one that went.
            self._connection.execute(REINDEX)
        self._connection.execute("VACUUM")
        return count

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.close()


def _row(answer: Answer) -> tuple[object, ...]:
    """Return the cells of an answer, just as they will be read back, and their checksum."""
    values = list(values_of(answer))
    for index in REALS:
        values[index] = None if values[index] is None else float(values[index])
    try:
        return (*values, checksum(values))
    except orjson.JSONEncodeError:  # a lone surrogate: paid is kept, so the text is kept as far as it can be
        values = [v.encode("utf-8", "backslashreplace").decode() if isinstance(v, str) else v for v in values]
        return (*values, checksum(values))


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Keep other processes of ours out of *folder* meanwhile.

    SQLite does not wait but fails where two connections switch a new file to WAL at the same time.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


class _transaction:  # noqa: N801 - reads as a statement
    """One write transaction: committed if the block ends well, else rolled back.

    A class rather than a generator: it is entered for every group of answers.
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
