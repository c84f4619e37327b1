"""Many answers in few cells: SQLite hands over a set at a time.

Fetching row by row gives the interpreter's lock away and takes it back at each row, for which a busy thread lets it
wait for milliseconds. What does not come through this unchanged does not fit its checksum; it is to be read as it
stands.
"""

import sqlite3
from collections.abc import Sequence
from operator import eq
from zlib import crc32

import orjson

from pipeline.ledger.schema import answers_of
from pipeline.records import Answers

KEY_BYTES = 16

FAILURES = (sqlite3.OperationalError, sqlite3.DataError)
"""What SQLite raises where a set is too large for it or a cell is of a wrong type, among other things."""

SEPARATOR = b"\x1e"
"""JSON has it nowhere as it stands."""

LOOK_UP = f"""
WITH RECURSIVE wanted(place) AS (
    SELECT 0 UNION ALL SELECT place + 1 FROM wanted WHERE (place + 1) * {KEY_BYTES} < length(?1)
)
SELECT count(*), json_group_array(place), json_group_array(a.checksum), CAST(group_concat(a.body, x'{SEPARATOR.hex()}') AS BLOB)
FROM wanted CROSS JOIN latest l ON l.key = substr(?1, place * {KEY_BYTES} + 1, {KEY_BYTES})
LEFT JOIN answers a ON a.id = l.id AND a.key = l.key
"""  # noqa: S608 - the statement is constant


def look_up(connection: sqlite3.Connection, keys: Sequence[bytes]) -> Answers | None:
    """Return the newest answer of each of *keys* that has one; None if they must be read one by one.

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
    return _unpacked([keys[place] for place in orjson.loads(places)], orjson.loads(checksums), bodies or b"")


def _unpacked(keys: Sequence[bytes], checksums: Sequence[int], joined: bytes) -> Answers | None:
    """Return the answers with these cells; None if one of them does not fit its checksum."""
    bodies = joined.split(SEPARATOR)
    sums = map(crc32, bodies, map(crc32, keys))
    whole = len(bodies) == len(keys) and all(map(eq, sums, checksums))
    try:
        return answers_of(keys, bodies) if whole else None
    except ValueError:
        return None
