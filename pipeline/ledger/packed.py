"""Many answers in few cells: SQLite hands over a set at a time, each column as one JSON array.

Fetching row by row gives the interpreter's lock away and takes it back at each row, for which a busy thread lets it
wait for milliseconds, and makes an object of each cell on the way. What does not come through this unchanged does not
fit its checksum; it is to be read as it stands.
"""

import sqlite3
from collections.abc import Sequence
from operator import eq
from typing import Any
from zlib import crc32

import orjson

from pipeline.ledger.schema import FIELDS, REALS, STATUS
from pipeline.records import Answers, Status

KEY_BYTES = 16

FAILURES = (sqlite3.OperationalError, sqlite3.DataError)
"""What SQLite raises where a cell cannot be packed, among other things."""


def _column(index: int, name: str) -> str:
    if index in REALS:  # SQLite's own text of a number has 15 digits
        digits = f"group_concat(iif(a.{name} IS NULL, 'null', printf('%!.17g', a.{name})))"
        return f"CAST('[' || {digits} || ']' AS BLOB)"
    return f"CAST(json_group_array(a.{name}) AS BLOB)"


COLUMNS = ", ".join(_column(index, name) for index, name in enumerate(FIELDS) if index)
LOOK_UP = f"""
WITH RECURSIVE wanted(place) AS (
    SELECT 0 UNION ALL SELECT place + 1 FROM wanted WHERE (place + 1) * {KEY_BYTES} < length(?1)
)
SELECT count(*), json_group_array(place), CAST(json_group_array(a.checksum) AS BLOB), {COLUMNS}
FROM wanted CROSS JOIN latest l ON l.key = substr(?1, place * {KEY_BYTES} + 1, {KEY_BYTES})
LEFT JOIN answers a ON a.id = l.id AND a.key = l.key
"""  # noqa: S608 - the statement is constant

NONE = Answers.of(())


def look_up(connection: sqlite3.Connection, keys: Sequence[bytes]) -> tuple[Answers, bool]:
    """Return the newest answers of *keys*, and whether those are all that there are.

    Raises:
        sqlite3.Error: If the file cannot be read, or is damaged.
    """
    try:
        count, places, *cells = connection.execute(LOOK_UP, (b"".join(keys),)).fetchone()
        found = _unpacked([keys[place] for place in orjson.loads(places)], *cells) if count else NONE
    except FAILURES as error:
        if getattr(error, "sqlite_errorcode", None) not in {sqlite3.SQLITE_ERROR, sqlite3.SQLITE_TOOBIG}:
            raise
        return NONE, False
    except (ValueError, TypeError):  # damaged cells
        return NONE, False
    return found, len(found) == count


def _unpacked(keys: Sequence[bytes], checksums: bytes, *columns: bytes) -> Answers:
    """Return those answers that fit their checksums."""
    cells: list[Sequence[Any]] = [keys, *map(orjson.loads, columns)]
    sums = map(crc32, map(orjson.dumps, zip(*cells[1:], strict=True)), map(crc32, keys))
    fits = list(map(eq, sums, orjson.loads(checksums)))
    if any(cells[STATUS]):
        cells[STATUS] = [status and Status(status) for status in cells[STATUS]]
    found = Answers(dict(zip(FIELDS, cells, strict=True)))
    return found if all(fits) else found.where(fits)
