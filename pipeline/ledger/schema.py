"""What the ledger's file holds: its tables, and an answer as a row of cells with a checksum."""

import sqlite3
from collections.abc import Sequence
from typing import Any
from zlib import crc32

import orjson

from pipeline.ledger.spent import SPENT_SCHEMA
from pipeline.records import Answer, Status

VERSION = 2
APPLICATION_ID = 0x70697065  # "pipe", so that `file` and a person can tell whose file this is

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
""" + SPENT_SCHEMA.lstrip()

FIELDS = Answer._fields
COLUMNS = ", ".join(FIELDS)
INSERT = f"INSERT INTO answers ({COLUMNS}, checksum) VALUES ({', '.join('?' * (len(FIELDS) + 1))})"  # noqa: S608
INSERT_WITH_ID = (
    INSERT.replace("INSERT", "INSERT OR IGNORE").replace("(key", "(id, key").replace("(?", "(?, ?")
)
LAST_ID = "SELECT ifnull(max(CAST(seq AS INTEGER)), 0) FROM sqlite_sequence WHERE name = 'answers'"
SELECT = "SELECT " + ", ".join(f"a.{name}" for name in FIELDS) + ", a.checksum"
INDEX = """
INSERT INTO latest
SELECT key, max(id) FROM answers WHERE id > (SELECT indexed FROM progress) GROUP BY key ORDER BY key
ON CONFLICT (key) DO UPDATE SET id = excluded.id
"""
INDEXED = "UPDATE progress SET indexed = (SELECT ifnull(max(id), 0) FROM answers)"

STATUS = FIELDS.index("status")
REALS = (FIELDS.index("cost_usd"), FIELDS.index("at"))


class DamagedError(sqlite3.DatabaseError):
    """The file is damaged in a way that SQLite itself does not notice."""


def is_damage(error: Exception) -> bool:
    """Tell whether *error* says that the file is damaged, rather than that it cannot be read or written."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return isinstance(error, DamagedError) or code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def create(connection: sqlite3.Connection) -> None:
    """Create the tables; runs within the caller's transaction."""
    for statement in SCHEMA.strip().split(";\n"):
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {VERSION}")


def rows(connection: sqlite3.Connection, query: str, values: Sequence[object]) -> list[tuple[Any, ...]]:
    """Return the rows of *query*; text that is damaged so that it is no UTF-8 any more stays damaged text."""
    try:
        return connection.execute(query, values).fetchall()
    except sqlite3.OperationalError as error:
        if hasattr(error, "sqlite_errorcode"):
            raise
    connection.text_factory = lambda data: data.decode(errors="replace")  # too slow for every day
    try:
        return connection.execute(query, values).fetchall()
    finally:
        connection.text_factory = str


def checksum(values: Sequence[object]) -> int:
    """Return the CRC-32 over an answer's fields: SQLite itself does not notice a flipped bit in a cell."""
    return crc32(orjson.dumps(values[1:]), crc32(values[0]))  # type: ignore[arg-type]


def row_of(answer: Answer) -> tuple[object, ...]:
    """Return the cells of an answer, just as they will be read back, and their checksum."""
    values: list[Any] = list(answer)
    for index in REALS:
        values[index] = None if values[index] is None else float(values[index]) + 0.0  # SQLite keeps no -0.0
    try:
        return (*values, checksum(values))
    except orjson.JSONEncodeError:  # a lone surrogate: paid is kept, so the text is kept as far as it can be
        values = [v.encode("utf-8", "backslashreplace").decode() if isinstance(v, str) else v for v in values]
        return (*values, checksum(values))


def answer_of(row: Sequence[Any]) -> Answer | None:
    """Return the answer whose cells and checksum *row* holds; None if they do not fit each other."""
    try:
        if checksum(row[:-1]) != row[-1]:
            return None
    except TypeError:  # a cell is not even of the type that it should be
        return None
    answer = Answer._make(row[:-1])
    return answer._replace(status=Status(answer.status)) if answer.status else answer
