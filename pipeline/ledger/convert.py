"""A ledger of an earlier format becomes one of today's: what was paid for then counts now.

Format 1 did not keep what a run has spent. Format 2 kept each field of an answer in a column of its own.
"""

import sqlite3
from collections.abc import Sequence
from typing import Any
from zlib import crc32

import orjson

from pipeline.ledger.schema import ANSWERS, FIELDS, INSERT_WITH_ID, Cells, cells_of, mark
from pipeline.ledger.spent import SPENT_SCHEMA
from pipeline.records import Answer

WITHOUT_SPENT = 1

EARLIER = f"SELECT id, {', '.join(FIELDS)}, checksum FROM earlier ORDER BY id"  # noqa: S608 - it is constant
KEEP_COUNTING = (
    "DELETE FROM sqlite_sequence WHERE name = 'answers'",
    "UPDATE sqlite_sequence SET name = 'answers' WHERE name = 'earlier'",
)
"""An id is never given out twice, also not that of the last answer, which was pruned."""


def convert(connection: sqlite3.Connection, version: int) -> None:
    """Bring a ledger of format *version* to today's; runs within the caller's transaction.

    Raises:
        sqlite3.DatabaseError: If it is damaged.
    """
    execute = connection.execute
    if version == WITHOUT_SPENT:
        for statement in SPENT_SCHEMA.strip().split(";\n"):
            execute(statement)
    execute("ALTER TABLE answers RENAME TO earlier")
    execute(ANSWERS)
    connection.text_factory = lambda data: data.decode(errors="replace")  # what is damaged is no text
    connection.executemany(INSERT_WITH_ID, map(_converted, execute(EARLIER)))
    connection.text_factory = str
    for statement in KEEP_COUNTING:
        execute(statement)
    execute("DROP TABLE earlier")
    mark(connection)


def _converted(row: Sequence[Any]) -> tuple[int, *Cells]:
    """Return an answer's id and its cells as they are today; a damaged one stays one that does not fit its checksum."""
    number, *values, found = row
    key, body, fitting = cells_of(Answer(*values))
    was_whole = crc32(orjson.dumps(values[1:]), crc32(key)) == found
    return number, key, body, fitting if was_whole else ~fitting
