"""Is this a sound ledger, as far as can be told quickly? What a checksum does not cover is looked at here.

SQLite notices a destroyed page when it comes to it; an answer's checksum covers its cells. Between them is what
leads to an answer: where that is wrong, an answer that was paid for would be asked again, or another's found.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from functools import cache

from pipeline.ledger.schema import LAST_ID, SELECT, DamagedError, answer_of, create, tables

STRETCH = 64
STRETCHES = 64
ALL = 16_384
"""Ledgers of up to so many answers are looked at whole, larger ones at random places: 0.05 s either way."""

ASTRAY = """
SELECT l.id FROM (SELECT key, id FROM latest WHERE key >= ? ORDER BY key LIMIT ?) l
LEFT JOIN answers a ON a.id = l.id WHERE a.key IS NOT l.key
"""
HIDDEN = """
SELECT id FROM answers a WHERE id BETWEEN ? AND min(?, (SELECT indexed FROM progress))
AND NOT EXISTS (SELECT 1 FROM latest l WHERE l.key = a.key AND l.id >= a.id)
"""
PROGRESS = f"""
SELECT typeof(indexed) = 'integer' AND indexed BETWEEN 0 AND last, last
FROM progress, (SELECT max(({LAST_ID}), ifnull((SELECT max(id) FROM answers), 0)) AS last)
"""  # noqa: S608 - the statement is constant


def verify(connection: sqlite3.Connection) -> None:
    """Look at the tables and at some answers.

    Raises:
        DamagedError: If something is wrong that SQLite would not notice.
        sqlite3.DatabaseError: If SQLite notices it.
    """
    if not _tables() <= set(tables(connection)):
        raise DamagedError("its tables are not those of a ledger")
    progress = connection.execute(PROGRESS).fetchall()
    if len(progress) != 1 or not progress[0][0]:
        raise DamagedError("what it says about its index cannot be")
    for astray, hidden in _places(progress[0][1]):
        _ensure_leading(connection, ASTRAY, astray)
        _ensure_leading(connection, HIDDEN, hidden)


@cache
def _tables() -> set[tuple[bytes, bytes]]:
    """Return the tables of a sound ledger."""
    with closing(sqlite3.connect(":memory:")) as new:
        create(new)
        return set(tables(new))


def _places(last: int) -> Iterator[tuple[tuple[bytes, int], tuple[int, int]]]:
    """Yield where to look: from which key on how many, and from which id to which."""
    if last <= ALL:
        yield (b"", -1), (0, last)
        return
    for _ in range(STRETCHES):
        start = int.from_bytes(os.urandom(8)) % last
        yield (os.urandom(16), STRETCH), (start, start + STRETCH - 1)


def _ensure_leading(connection: sqlite3.Connection, query: str, where: tuple[object, object]) -> None:
    for (number,) in connection.execute(query, where).fetchall():
        found = connection.execute(f"{SELECT} FROM answers a WHERE a.id = ?", (number,)).fetchone()
        if not found or answer_of(*found) is not None:
            raise DamagedError("its index leads astray")
        # Else it is the answer that is damaged: it counts as absent.
