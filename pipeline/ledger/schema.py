"""What the ledger's file holds: its tables, and an answer as a row of cells with a checksum."""

import sqlite3
from collections.abc import Sequence
from operator import itemgetter
from typing import Any
from zlib import crc32

import orjson

from pipeline.records import Answer, Answers, Status

VERSION = 3
APPLICATION_ID = 0x70697065  # "pipe", so that `file` and a person can tell whose file this is

FIELDS = Answer._fields
TYPES = {
    "prompt_tokens": "INTEGER", "cached_tokens": "INTEGER", "completion_tokens": "INTEGER", "cost_usd": "REAL",
    "attempts": "INTEGER", "asks": "INTEGER", "at": "REAL",
}  # fmt: skip

BODY = (*(name for name in FIELDS if name not in {"key", "logprobs"}), "logprobs")
"""The fields in a body, in order."""

WITHOUT_LOGPROBS = itemgetter(*map(FIELDS.index, BODY[:-1]))

# A damaged body is no JSON, and then nothing can be told of its answer.
NAMED = ", ".join(
    f"{name} {TYPES.get(name, 'TEXT')} AS (CASE WHEN json_valid(body) THEN json_extract(body, '$[{place}]') END)"
    for place, name in enumerate(BODY)
)
ANSWERS = f"""
CREATE TABLE IF NOT EXISTS answers (
    id INTEGER PRIMARY KEY AUTOINCREMENT, key BLOB NOT NULL, body TEXT NOT NULL, checksum INTEGER NOT NULL, {NAMED}
) STRICT"""
"""`body` is a JSON array of all fields but the key; for who asks in SQL, each of them is a column, too.

It has two lines: the log-probabilities, which are JSON themselves, stand alone on the second one, where they need be
neither escaped nor read.
"""

# What each run has spent, kept up to date a set of answers at a time: reading ten million for one sum takes a minute.
SPENT_SCHEMA = """
CREATE TABLE IF NOT EXISTS spent (run TEXT PRIMARY KEY, usd REAL NOT NULL) STRICT, WITHOUT ROWID;
"""

SCHEMA = f"""
{ANSWERS.strip()};
CREATE TABLE IF NOT EXISTS latest (key BLOB PRIMARY KEY, id INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS progress (only INTEGER PRIMARY KEY CHECK (only = 1), indexed INTEGER NOT NULL) STRICT;
INSERT OR IGNORE INTO progress VALUES (1, 0);
{SPENT_SCHEMA.strip()}
"""  # noqa: S608 - the statement is constant

CELLS = "key, body, checksum"
INSERT = f"INSERT INTO answers ({CELLS}) VALUES (?, CAST(? AS TEXT), ?)"  # noqa: S608 - the statement is constant
INSERT_WITH_ID = f"INSERT OR IGNORE INTO answers (id, {CELLS}) VALUES (?, ?, CAST(? AS TEXT), ?)"  # noqa: S608 - as above
LAST_ID = "SELECT ifnull(max(CAST(seq AS INTEGER)), 0) FROM sqlite_sequence WHERE name = 'answers'"
SELECT = "SELECT CAST(a.key AS BLOB), CAST(a.body AS BLOB), a.checksum"
"""The cells as bytes: text that is damaged so that it is no UTF-8 any more could not be fetched as text."""

INDEX = """
INSERT INTO latest
SELECT key, max(id) FROM answers WHERE id > (SELECT indexed FROM progress) GROUP BY key ORDER BY key
ON CONFLICT (key) DO UPDATE SET id = excluded.id
"""
INDEXED = "UPDATE progress SET indexed = (SELECT ifnull(max(id), 0) FROM answers)"

TABLES = "SELECT CAST(name AS BLOB), CAST(sql AS BLOB) FROM sqlite_schema WHERE type = 'table' ORDER BY name"

Cells = tuple[bytes, bytes, int]
"""An answer's key, its body, and the checksum over both."""


class DamagedError(sqlite3.DatabaseError):
    """The file is damaged in a way that SQLite itself does not notice."""


def is_damage(error: Exception) -> bool:
    """Tell whether *error* says that the file is damaged, rather than that it cannot be read or written."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:  # of Python's own making: what should be a number, or bytes, is text, and not even that
        return isinstance(error, DamagedError | sqlite3.OperationalError | UnicodeDecodeError)
    return code & 0xFF in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def create(connection: sqlite3.Connection) -> None:
    """Create the tables; runs within the caller's transaction."""
    for statement in SCHEMA.strip().split(";\n"):
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {VERSION}")


def tables(connection: sqlite3.Connection) -> list[tuple[bytes, bytes]]:
    """Return the name of each table and the text that created it."""
    return connection.execute(TABLES).fetchall()


def checksum(key: bytes, body: bytes) -> int:
    """Return the CRC-32 over an answer's cells: SQLite itself does not notice a flipped bit in a cell."""
    return crc32(body, crc32(key))


def cells_of(answer: Answer) -> Cells:
    """Return the cells of an answer."""
    try:
        body = _body(answer)
    except (orjson.JSONEncodeError, UnicodeEncodeError):
        # A lone surrogate: what was paid for is kept, as far as it can be.
        values = (v.encode("utf-8", "backslashreplace").decode() if isinstance(v, str) else v for v in answer)
        body = _body(Answer._make(values))
    return answer.key, body, checksum(answer.key, body)


def _body(answer: Answer) -> bytes:
    first = orjson.dumps(WITHOUT_LOGPROBS(answer))
    return b"%b,\n%b]" % (
        first[:-1],
        b"null" if answer.logprobs is None else answer.logprobs.encode().replace(b"\n", b" "),
    )


def answer_of(key: bytes, body: bytes, found: int) -> Answer | None:
    """Return the answer that is in these cells; None if they do not fit the checksum that was *found* with them."""
    try:
        return answers_of([key], [body])[key] if checksum(key, body) == found else None
    except (ValueError, TypeError):  # a cell is not even of the type that it should be
        return None


def answers_of(keys: Sequence[bytes], bodies: Sequence[bytes]) -> Answers:
    """Return the answers that are in these cells.

    Raises:
        ValueError: If they are not those of answers.
    """
    lines = b"\n".join(bodies).decode().split("\n")
    if len(lines) != 2 * len(bodies):
        raise ValueError("a body has two lines")
    # Each first line ends with a comma.
    columns: list[Sequence[Any]] = list(zip(*orjson.loads(f"[{'0],'.join(lines[::2])}0]]"), strict=True))
    columns[-1] = [None if line == "null]" else line[:-1] for line in lines[1::2]]
    found = dict(zip(("key", *BODY), [keys, *columns], strict=True))
    if any(found["status"]):
        found["status"] = [status and Status(status) for status in found["status"]]
    return Answers({name: found[name] for name in FIELDS})


# An answer that was asked again in the same run holds the sum of both, so the earlier one's is taken back.
# `coalesce`, because infinity less infinity is null. A damaged answer has no run.
ADD_SPENT = """
INSERT INTO spent
SELECT run, coalesce(total(usd) - total(replaced), 0) FROM (
    SELECT new.run, new.cost_usd AS usd, max(new.id), (
        SELECT old.cost_usd FROM latest JOIN answers old ON old.id = latest.id
        WHERE latest.key = new.key AND old.run = new.run AND old.id < new.id
    ) AS replaced
    FROM answers new WHERE new.id > (SELECT indexed FROM progress) AND new.run IS NOT NULL GROUP BY new.run, new.key
) GROUP BY run
ON CONFLICT (run) DO UPDATE SET usd = coalesce(usd + excluded.usd, usd)
"""

SPENT_BY_RUN = "SELECT usd FROM spent WHERE run = ?"
