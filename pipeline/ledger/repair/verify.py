"""A quick check that an open file is an intact ledger.

SQLite notices a destroyed page when it reads it, and an answer's checksum covers its cells. What neither covers is
checked here: the tables, and the index. A wrong index costs money, because answers that it hides are asked again.
"""

import sqlite3
from contextlib import closing
from functools import cache

from pipeline.ledger.schema import LAST_ID, SELECT, DamagedError, answer_of, create, tables

MOST_ANSWERS = 16_384
"""The index of a larger ledger is not checked, which would take longer than 0.05 s."""

PROGRESS = f"""
SELECT typeof(indexed) = 'integer' AND indexed BETWEEN 0 AND last, last
FROM progress, (SELECT max(({LAST_ID}), ifnull((SELECT max(id) FROM answers), 0)) AS last)
"""  # noqa: S608 - the statement is constant

WRONG = """
SELECT l.id FROM latest l LEFT JOIN answers a ON a.id = l.id WHERE a.key IS NOT l.key
"""
"""Entries of the index that lead to no answer, or to that of another key."""

MISSING = """
SELECT id FROM answers a WHERE id <= (SELECT indexed FROM progress)
AND NOT EXISTS (SELECT 1 FROM latest l WHERE l.key = a.key AND l.id >= a.id)
"""
"""Answers that the index should lead to, or to a newer one, and does not."""


def verify(connection: sqlite3.Connection) -> None:
    """Check the tables, and the index of a small ledger.

    Raises:
        DamagedError: If something is wrong that SQLite would not notice.
        sqlite3.DatabaseError: If SQLite notices it.
    """
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if not _tables(version) <= set(tables(connection)):
        raise DamagedError("its tables are not those of a ledger")
    progress = connection.execute(PROGRESS).fetchall()
    if len(progress) != 1 or not progress[0][0]:
        raise DamagedError("what it says about its index cannot be")
    if progress[0][1] <= MOST_ANSWERS:
        _check_index(connection)


@cache
def _tables(version: int) -> set[tuple[bytes, bytes]]:
    """Return the tables of an intact ledger of a *version*."""
    with closing(sqlite3.connect(":memory:")) as new:
        create(new, version)
        return set(tables(new))


def _check_index(connection: sqlite3.Connection) -> None:
    for (number,) in connection.execute(f"{WRONG} UNION ALL {MISSING}").fetchall():
        found = connection.execute(f"{SELECT} FROM answers a WHERE a.id = ?", (number,)).fetchone()
        if not found or answer_of(*found) is not None:
            raise DamagedError("its index leads astray")
        # Otherwise the answer's own key is damaged, not the index: the answer counts as absent.
