"""Is this a sound ledger, as far as can be told quickly? What a checksum does not cover is looked at here.

SQLite notices a destroyed page when it comes to it; an answer's checksum covers its cells. Between them is what
leads to an answer: where that is wrong, an answer that was paid for would be asked again, or another's found.
"""

import sqlite3
from contextlib import closing
from functools import cache

from pipeline.ledger.schema import LAST_ID, SELECT, DamagedError, answer_of, create, tables

MOST_ANSWERS = 16_384
"""The index of a larger ledger is not compared, for it would take more than 0.05 s."""

ASTRAY = """
SELECT l.id FROM latest l LEFT JOIN answers a ON a.id = l.id WHERE a.key IS NOT l.key
"""
HIDDEN = """
SELECT id FROM answers a WHERE id <= (SELECT indexed FROM progress)
AND NOT EXISTS (SELECT 1 FROM latest l WHERE l.key = a.key AND l.id >= a.id)
"""
PROGRESS = f"""
SELECT typeof(indexed) = 'integer' AND indexed BETWEEN 0 AND last, last
FROM progress, (SELECT max(({LAST_ID}), ifnull((SELECT max(id) FROM answers), 0)) AS last)
"""  # noqa: S608 - the statement is constant


def verify(connection: sqlite3.Connection) -> None:
    """Look at the tables, and at the index of a small ledger.

    Raises:
        DamagedError: If something is wrong that SQLite would not notice.
        sqlite3.DatabaseError: If SQLite notices it.
    """
    if not _tables() <= set(tables(connection)):
        raise DamagedError("its tables are not those of a ledger")
    progress = connection.execute(PROGRESS).fetchall()
    if len(progress) != 1 or not progress[0][0]:
        raise DamagedError("what it says about its index cannot be")
    if progress[0][1] <= MOST_ANSWERS:
        _ensure_leading(connection)


@cache
def _tables() -> set[tuple[bytes, bytes]]:
    """Return the tables of a sound ledger."""
    with closing(sqlite3.connect(":memory:")) as new:
        create(new)
        return set(tables(new))


def _ensure_leading(connection: sqlite3.Connection) -> None:
    for (number,) in connection.execute(f"{ASTRAY} UNION ALL {HIDDEN}").fetchall():
        found = connection.execute(f"{SELECT} FROM answers a WHERE a.id = ?", (number,)).fetchone()
        if not found or answer_of(*found) is not None:
            raise DamagedError("its index leads astray")
        # Else it is the answer that is damaged: it counts as absent.
