"""Looking up a set of answers at once: SQLite returns them joined, in a single row.

Fetching a row releases the interpreter's lock and takes it back, and beside a busy thread each of that can wait for
milliseconds. A set that does not come out of the join unchanged fails its checksums, and is read row by row instead.
"""

import sqlite3
from collections.abc import Sequence
from operator import eq
from zlib import crc32

import orjson

from pipeline.ledger.schema import answers_of
from pipeline.records import KEY_BYTES, Answers

FAILURES = (sqlite3.OperationalError, sqlite3.DataError)
"""Raised, among other things, for a set that is too large for SQLite or holds a cell of a wrong type."""

SEPARATOR = b"\x1e"
"""A control character, which JSON never holds unescaped."""

LOOK_UP = f"""
WITH RECURSIVE wanted(place) AS (
    SELECT 0 UNION ALL SELECT place + 1 FROM wanted WHERE (place + 1) * {KEY_BYTES} < length(?1)
)
SELECT count(*), json_group_array(place), json_group_array(a.checksum), CAST(group_concat(a.body, x'{SEPARATOR.hex()}') AS BLOB)
FROM wanted CROSS JOIN latest l ON l.key = substr(?1, place * {KEY_BYTES} + 1, {KEY_BYTES})
LEFT JOIN answers a ON a.id = l.id AND a.key = l.key
"""  # noqa: S608 - the statement is constant


def look_up(connection: sqlite3.Connection, keys: Sequence[bytes]) -> Answers | None:
    """Return the newest answer of each of *keys* that has one; None if they must be read row by row.

    Raises:
        sqlite3.Error: If the file cannot be read, or is damaged.
    """
    try:
        count, places, checksums, bodies = connection.execute(LOOK_UP, (b"".join(keys),)).fetchone()
    except FAILURES as error:
        if getattr(error, "sqlite_errorcode", None) not in {sqlite3.SQLITE_ERROR, sqlite3.SQLITE_TOOBIG}:
            raise
        return None
    if not count:
        return Answers.of(())
    return _split([keys[place] for place in orjson.loads(places)], orjson.loads(checksums), bodies or b"")


def _split(keys: Sequence[bytes], checksums: Sequence[int], joined: bytes) -> Answers | None:
    """Return the answers of *keys* from their joined bodies; None if one of them fails its checksum."""
    bodies = joined.split(SEPARATOR)
    sums = map(crc32, bodies, map(crc32, keys))
    # A body is missing where the index leads to no answer of that key.
    whole = len(bodies) == len(keys) and all(map(eq, sums, checksums))
    try:
        return answers_of(keys, bodies) if whole else None
    except ValueError:
        return None
