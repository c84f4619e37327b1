"""Deleting old answers, a few at a time: a run that writes to the same ledger waits for no more than a moment."""

import sqlite3
from dataclasses import dataclass
from functools import partial

from pipeline.ledger.database import OpenFile, transaction
from pipeline.ledger.schema import NAMED

ANSWERS_AT_ONCE = 5_000
"""Answers that one transaction deletes: a tenth of a second, for which other writers wait."""

OLD = "ifnull(at, 0) < :before"  # a damaged answer has no time of arrival, and is of no use
# Bills, with 0 asks, are deleted with the answers of their time, and are none.

PRUNABLE = f"""
SELECT count(*), sum(cost_usd) FILTER (WHERE newest), count(*) FILTER (WHERE newest AND cost_usd IS NULL AND text IS NOT NULL)
FROM (SELECT *, id IN (SELECT id FROM latest) AS newest FROM {NAMED} WHERE {OLD} AND asks IS NOT 0)
"""  # noqa: S608 - the statement is constant
HIDDEN = f"""
SELECT max(a.id), a.key FROM {NAMED} a JOIN latest l ON l.key = a.key JOIN {NAMED} newest ON newest.id = l.id
WHERE ifnull(a.at, 0) >= :before AND ifnull(newest.at, 0) < :before GROUP BY a.key
"""  # noqa: S608 - as above
NEXT_OLD = f"""
SELECT min(id), max(id), count(*) FILTER (WHERE asks IS NOT 0) FROM (
    SELECT id, asks FROM {NAMED} WHERE id > :last AND {OLD} ORDER BY id LIMIT {ANSWERS_AT_ONCE}
)
"""  # noqa: S608 - the statement is constant
BETWEEN = f"id BETWEEN :first AND :last AND {OLD}"
FORGET = f"DELETE FROM latest WHERE id IN (SELECT id FROM {NAMED} WHERE {BETWEEN})"  # noqa: S608 - as above
DELETE = f"DELETE FROM answers WHERE id IN (SELECT id FROM {NAMED} WHERE {BETWEEN})"  # noqa: S608 - as above


@dataclass(frozen=True, slots=True)
class Prunable:
    """Answers that are old enough to be deleted.

    Attributes:
        answers: How many there are.
        cost_usd: What those that are still in use have cost, as far as it is known; None if it is known of none.
        unpriced: Replies in use whose cost is not known.
    """

    answers: int
    cost_usd: float | None
    unpriced: int = 0


def prunable(file: OpenFile, before: float) -> Prunable:
    """Return what `prune` would delete."""
    return Prunable(*file.do(lambda connection: connection.execute(PRUNABLE, {"before": before}).fetchone()))


def prune(file: OpenFile, before: float) -> int:
    """Delete answers that arrived before *before* (Unix time); return how many. The index is up to date."""
    # If the clock was set back, an answer that stays may have been superseded by one that is deleted.
    hidden = file.do(lambda connection: connection.execute(HIDDEN, {"before": before}).fetchall())
    if hidden:
        file.do(partial(_point_to, hidden), writes=True)
    count, last = 0, 0
    while True:
        where = {"last": last, "before": before}
        first, last, found = file.do(lambda connection: connection.execute(NEXT_OLD, where).fetchone())  # noqa: B023 - called now
        if first is None:
            return count
        file.do(partial(_delete, {"first": first, "last": last, "before": before}), writes=True)
        count += found


def give_space_back(file: OpenFile) -> None:
    """Make the file as small as its answers; nobody can write to it meanwhile."""
    file.do(_vacuum, writes=True)


def _point_to(answers: list[tuple[int, bytes]], connection: sqlite3.Connection) -> None:
    with transaction(connection):
        connection.executemany("UPDATE latest SET id = ? WHERE key = ?", answers)


def _delete(which: dict[str, float], connection: sqlite3.Connection) -> None:
    with transaction(connection):
        connection.execute(FORGET, which)
        connection.execute(DELETE, which)


def _vacuum(connection: sqlite3.Connection) -> None:
    connection.execute("VACUUM")
    connection.execute(
        "PRAGMA wal_checkpoint(TRUNCATE)"
    )  # a rebuild must not find in the log what was pruned
