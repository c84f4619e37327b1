"""The ledger's tables, and an answer as cells with a checksum."""

import sqlite3
from collections.abc import Sequence
from operator import itemgetter
from typing import Any
from zlib import crc32

import orjson

from pipeline.records import Answer, Answers, Status

VERSION = 4
OLDEST_VERSION = 3
"""Of the formats that are read and written; in this one the table of answers computed the fields of each row that came in."""

APPLICATION_ID = 0x70697065  # "pipe", so that `file` and a person can tell whose file this is

FIELDS = Answer._fields
TYPES = {
    "prompt_tokens": "INTEGER", "cached_tokens": "INTEGER", "completion_tokens": "INTEGER", "cost_usd": "REAL",
    "attempts": "INTEGER", "asks": "INTEGER", "at": "REAL",
}  # fmt: skip

BODY = (*(name for name in FIELDS if name not in {"key", "logprobs"}), "logprobs")
"""The fields in a body, in order."""

WITHOUT_LOGPROBS = itemgetter(*map(FIELDS.index, BODY[:-1]))

# Null where the body is damaged and no longer JSON.
VALUES = {
    name: f"CASE WHEN json_valid(body) THEN json_extract(body, '$[{place}]') END"
    for place, name in enumerate(BODY)
}
NAMED = f"(SELECT id, key, {', '.join(f'{value} AS {name}' for name, value in VALUES.items())} FROM answers)"  # noqa: S608 - the statement is constant
"""The answers with a column for each field."""

# An answer is one text, not a cell a field: `lookup` joins, fetches and parses a set of texts at once. The checksum is
# there because SQLite itself does not notice a flipped bit in a cell.
CREATE_ANSWERS = """
CREATE TABLE IF NOT EXISTS answers (
    id INTEGER PRIMARY KEY AUTOINCREMENT, key BLOB NOT NULL, body TEXT NOT NULL, checksum INTEGER NOT NULL{}
) STRICT"""
"""`body` is a JSON array of all fields but the key; the view `readable_answers` shows each of them to a person who asks in SQL.
They are no columns of the table: SQLite computes virtual ones, too, for each row that comes in, which took twice as
long as all the rest of it.

It has two lines: the log-probabilities, which are JSON themselves, are alone on the second one, where they need
neither escaping nor parsing.
"""

ANSWERS_BY_VERSION = {
    OLDEST_VERSION: CREATE_ANSWERS.format(
        "".join(f", {name} {TYPES.get(name, 'TEXT')} AS ({value})" for name, value in VALUES.items())
    ),
    VERSION: CREATE_ANSWERS.format(""),
}

SCHEMA = f"""
CREATE VIEW IF NOT EXISTS readable_answers AS SELECT * FROM {NAMED};
CREATE TABLE IF NOT EXISTS latest (key BLOB PRIMARY KEY, id INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS progress (only INTEGER PRIMARY KEY CHECK (only = 1), indexed INTEGER NOT NULL) STRICT;
INSERT OR IGNORE INTO progress VALUES (1, 0);
CREATE TABLE IF NOT EXISTS spent (run TEXT PRIMARY KEY, usd REAL NOT NULL) STRICT, WITHOUT ROWID;
"""  # noqa: S608 - the statement is constant
"""`latest` is the index: each key's newest answer, as far as `progress` says. `spent` is kept in step with it."""

CELLS = "key, body, checksum"
INSERT = f"INSERT INTO answers ({CELLS}) VALUES (?, CAST(? AS TEXT), ?)"  # noqa: S608 - the statement is constant
INSERT_WITH_ID = f"INSERT OR IGNORE INTO answers (id, {CELLS}) VALUES (?, ?, CAST(? AS TEXT), ?)"  # noqa: S608 - as above
INSERT_NEW = f"""
INSERT INTO answers ({CELLS}) SELECT ?1, CAST(?2 AS TEXT), ?3
WHERE NOT EXISTS (SELECT 1 FROM latest l JOIN answers a ON a.id = l.id WHERE l.key = ?1 AND a.checksum = ?3)
"""  # noqa: S608 - as above
LAST_ID = "SELECT ifnull(max(CAST(seq AS INTEGER)), 0) FROM sqlite_sequence WHERE name = 'answers'"
SELECT = "SELECT CAST(a.key AS BLOB), CAST(a.body AS BLOB), a.checksum"
"""The cells as bytes: damaged text that is no longer UTF-8 could not be fetched as text."""

INDEX = """
INSERT INTO latest
SELECT key, max(id) FROM answers WHERE id > (SELECT indexed FROM progress) GROUP BY key ORDER BY key
ON CONFLICT (key) DO UPDATE SET id = excluded.id
"""
BEHIND = "SELECT max(id) > (SELECT indexed FROM progress) FROM answers"
INDEXED = "UPDATE progress SET indexed = (SELECT ifnull(max(id), 0) FROM answers)"

# Added up as answers are indexed: a sum over ten million of them takes a minute.
# An answer that was asked again in the same run holds the sum of both, so the earlier one's cost is taken back.
# `coalesce`, because infinity less infinity is null. A damaged answer has no run.
# The limit, which is none, keeps SQLite from computing a row's fields again wherever they are named.
ADD_SPENT = f"""
INSERT INTO spent
SELECT run, coalesce(total(usd) - total(replaced), 0) FROM (
    SELECT new.run, new.cost_usd AS usd, max(new.id), (
        SELECT old.cost_usd FROM latest JOIN {NAMED} old ON old.id = latest.id
        WHERE latest.key = new.key AND old.id < new.id AND old.run = new.run
    ) AS replaced
    FROM (
        SELECT id, key, run, cost_usd FROM {NAMED} WHERE id > (SELECT indexed FROM progress) LIMIT -1
    ) new WHERE new.run IS NOT NULL GROUP BY new.run, new.key
) GROUP BY run
ON CONFLICT (run) DO UPDATE SET usd = coalesce(usd + excluded.usd, usd)
"""  # noqa: S608 - the statement is constant
SPENT_BY_RUN = "SELECT usd FROM spent WHERE run = ?"

TABLES = "SELECT CAST(name AS BLOB), CAST(sql AS BLOB) FROM sqlite_schema WHERE type = 'table' ORDER BY name"

Cells = tuple[bytes, bytes, int]
"""An answer's key, its body, and the checksum over both."""


class DamagedError(sqlite3.DatabaseError):
    """The file is damaged in a way that SQLite itself does not notice."""


def is_damage(error: Exception) -> bool:
    """Return whether *error* means that the file is damaged, rather than that it cannot be read or written."""
    code = getattr(error, "sqlite_errorcode", None)
    # Without a code it is the sqlite3 module's own: a cell that should hold a number or bytes holds invalid text.
    if code is None:
        return isinstance(error, DamagedError | sqlite3.OperationalError | UnicodeDecodeError)
    return code & 0xFF in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def create(connection: sqlite3.Connection, version: int = VERSION) -> None:
    """Create the tables of a *version*; runs within the caller's transaction."""
    for statement in (ANSWERS_BY_VERSION[version], *SCHEMA.strip().split(";\n")):
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {version}")


def tables(connection: sqlite3.Connection) -> list[tuple[bytes, bytes]]:
    """Return the name of each table and the statement that created it."""
    return connection.execute(TABLES).fetchall()


def checksum(key: bytes, body: bytes) -> int:
    """Return the CRC-32 over an answer's cells."""
    return crc32(body, crc32(key))  # with the key, so that no damage gives one key the answer of another


def cells_of(answer: Answer) -> Cells:
    """Return the cells of an answer."""
    try:
        body = _body(answer)
    except (orjson.JSONEncodeError, UnicodeEncodeError):
        # A lone surrogate has no UTF-8: it is kept as an escape, because the answer was paid for.
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
    """Return the answer in these cells; None if they do not match the checksum *found* with them."""
    try:
        return answers_of([key], [body])[key] if checksum(key, body) == found else None
    except (ValueError, TypeError):  # a cell is of a wrong type
        return None


def answers_of(keys: Sequence[bytes], bodies: Sequence[bytes]) -> Answers:
    """Return the answers in these cells.

    Raises:
        ValueError: If a body is not that of an answer.
    """
    lines = b"\n".join(bodies).decode().split("\n")
    if len(lines) != 2 * len(bodies):
        raise ValueError("a body has two lines")
    # All first lines are parsed as one JSON array; each ends with a comma, after which the 0 stands for log-probabilities.
    columns: list[Sequence[Any]] = list(zip(*orjson.loads(f"[{'0],'.join(lines[::2])}0]]"), strict=True))
    columns[-1] = [None if line == "null]" else line[:-1] for line in lines[1::2]]
    found = dict(zip(("key", *BODY), [keys, *columns], strict=True))
    if any(found["status"]):
        found["status"] = [status and Status(status) for status in found["status"]]
    return Answers({name: found[name] for name in FIELDS})
