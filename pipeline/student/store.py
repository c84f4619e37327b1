"""What is proposed in place of the model, audited and proven, in a file of the state directory.

A night is one run's attempt: the rows that it scored, its secret, and in the end its certificate, or why there is none.
Everything that the audit depends on is durable before the first request, and its outcome falls in one transaction: a run
that is killed in between has the same coins, and comes to the same end.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from pipeline.errors import DiskError
from pipeline.student.coin import toss
from pipeline.system.atomic import make_private

_SCHEMA = """
CREATE TABLE IF NOT EXISTS night (run TEXT PRIMARY KEY, secret BLOB, facts TEXT, outcome TEXT);
CREATE TABLE IF NOT EXISTS proposal (
    key BLOB PRIMARY KEY, labels TEXT NOT NULL, score REAL, run TEXT NOT NULL, model TEXT, kind INTEGER NOT NULL,
    night TEXT NOT NULL, rows INTEGER NOT NULL
) WITHOUT ROWID;
"""

_LOOK_UP = (
    "SELECT {columns} FROM proposal JOIN night ON night = night.run WHERE key IN ({places}) AND {which}"
)

_COLUMNS = "key, labels, score, proposal.run, model, kind"

READING = "BEGIN"
"""Begins a block that changes temporary tables at most, and so waits for nobody who changes others."""

_AT_ONCE = 500
"""Keys in one look-up."""


@dataclass(frozen=True, slots=True)
class Night:
    """One run's attempt.

    Attributes:
        run: The run's id.
        secret: Decides the coins.
        facts: What was fixed before the first request: `thresholds`, `share` (of the rows that are audited) and others.
        outcome: The certificate, or why there is none; None as long as the audit is on.
    """

    run: str
    secret: bytes
    facts: Mapping[str, Any]
    outcome: Mapping[str, Any] | None = None

    def audits(self, key: bytes) -> bool:
        """Return whether the prompt with *key* is asked to find out."""
        return self.coin(key) < float(self.facts["share"])

    def coin(self, key: bytes) -> float:
        """Return the coin of the prompt with *key*, from 0 to 1."""
        return toss(key, self.secret)


PLAIN, MERGED, FORCED = range(3)
"""Kinds of proposals: as they are; merged with others, which are audited more; only to compare, as the prompt is asked."""


class Proposal(NamedTuple):
    """What would be the answer to one prompt, if it were not asked.

    Attributes:
        key: The prompt's.
        labels: Its labels.
        score: How sure whoever proposes it is; None where that is not known.
        run: The run whose answer it is.
        model: Who gave it; None for the student.
        kind: One of the kinds above.
    """

    key: bytes
    labels: tuple[str, ...]
    score: float | None
    run: str
    model: str | None = None
    kind: int = PLAIN


class StudentStore:
    """The file, open in one thread at a time."""

    def __init__(self, path: Path) -> None:
        """Open the file at *path*, or create it."""
        self.path = path
        make_private(path.parent)
        self._file = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._file.execute("PRAGMA synchronous=FULL")
        self._file.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    @contextmanager
    def changing(self, begin: str = "BEGIN IMMEDIATE") -> Iterator[sqlite3.Connection]:
        """Make all changes of the block, or none; a block within another one is part of it."""
        if self._file.in_transaction:
            yield self._file
            return
        self._file.execute(begin)
        try:
            yield self._file
        except BaseException:
            self._file.execute("ROLLBACK")
            raise
        self._file.execute("COMMIT")

    def night(self, run: str) -> Night | None:
        """Return the attempt of *run*; None if it has made none, or was killed before anything depended on it."""
        found = self._file.execute("SELECT * FROM night WHERE run = ?", [run]).fetchone()
        return found and _night(found)

    def nights(self) -> list[Night]:
        """Return all attempts that have come to an end, in the order in which they came to it."""
        # Writing an outcome gives its row the highest number. Ids of runs tell nothing of it: two that start within a second,
        # or before and after a clock was put back, may sort the other way round.
        found = self._file.execute("SELECT * FROM night WHERE outcome IS NOT NULL ORDER BY rowid")
        return [_night(each) for each in found]

    def all_decided(self, told: int) -> bool:
        """Return whether no attempt is without an end, and as many ends were *told* to other commands as there are."""
        found = self._file.execute("SELECT count(*), count(outcome) FROM night").fetchone()
        return bool(found == (told, told))

    def begin(self, run: str, *, forget: bool) -> None:
        """Remove what attempts that came to no end have left; all of them if told to *forget*."""
        with self.changing() as file:
            unless = "" if forget else " AND outcome IS NULL"
            file.execute(f"DELETE FROM night WHERE run != ?{unless}", [run])  # noqa: S608 - no value of anybody's
            file.execute("DELETE FROM proposal WHERE night NOT IN (SELECT run FROM night)")

    def propose(self, night: str, proposals: Iterable[Proposal]) -> None:
        """Add *proposals* to the night of a run. One that is there already has one row more."""
        with self.changing() as file:
            file.executemany(
                "INSERT INTO proposal VALUES (?, ?, ?, ?, ?, ?, ?, 1) ON CONFLICT DO UPDATE SET rows = rows + 1",
                ((key, orjson.dumps(labels), *others, night) for key, labels, *others in proposals),
            )

    def scored(self, run: str, lowest: float) -> tuple[int, int]:
        """Return how many prompts *run* has scored, and how many of them at least *lowest*."""
        query = "SELECT count(*), count(CASE WHEN score >= ? THEN 1 END) FROM proposal WHERE night = ?"
        found = self._file.execute(query, [lowest, run]).fetchone()
        return int(found[0]), int(found[1])

    def drop(self, run: str, *, below: float, most_rows: float) -> None:
        """Remove the proposals of *run* that score too low, or that stand for too many rows."""
        with self.changing() as file:
            query = "DELETE FROM proposal WHERE night = ? AND (score < ? OR rows > ?)"
            file.execute(query, [run, below, most_rows])

    def fix(self, night: Night) -> None:
        """Make durable what the audit depends on, before its first request."""
        with self.changing() as file:
            _write(file, night)

    def proposals(self, run: str) -> Iterator[Proposal]:
        """Yield the proposals of *run*, in the order of their keys."""
        query = f"SELECT {_COLUMNS} FROM proposal WHERE night = ? ORDER BY key"  # noqa: S608 - no value of anybody's
        yield from map(_proposal, self._file.execute(query, [run]))

    def kinds(self, run: str) -> dict[int, int]:
        """Return how many proposals of each kind *run* has."""
        query = "SELECT kind, count(*) FROM proposal WHERE night = ? GROUP BY kind"
        return dict(self._file.execute(query, [run]).fetchall())

    def end(
        self, night: Night, outcome: Mapping[str, Any], keeps: Callable[[Proposal], bool] | None
    ) -> Night:
        """End an attempt: of its proposals those that it *keeps* are answers from now on; None keeps none."""
        with self.changing() as file:
            keys = [[each.key] for each in self.proposals(night.run) if keeps is None or not keeps(each)]
            file.executemany("DELETE FROM proposal WHERE key = ?", keys)
            digest = blake2b(digest_size=16)
            for each in self.proposals(night.run):
                digest.update(each.key + orjson.dumps([each.labels, each.score]))
            ended = replace(night, outcome={**outcome, "labels_hash": digest.hexdigest()})
            _write(file, ended)
        return ended

    def rows(self, run: str) -> int:
        """Return for how many rows the proposals of *run* stand."""
        found = self._file.execute("SELECT coalesce(sum(rows), 0) FROM proposal WHERE night = ?", [run])
        return int(found.fetchone()[0])

    def look_up(self, keys: Sequence[bytes]) -> list[Proposal]:
        """Return the certified answers to *keys*."""
        return self._found(keys, "outcome IS NOT NULL")

    def undecided(self, keys: Sequence[bytes]) -> list[Proposal]:
        """Return what attempts that have come to no end have proposed for *keys*."""
        return self._found(keys, "outcome IS NULL")

    def proposed(self, run: str, keys: Sequence[bytes]) -> list[Proposal]:
        """Return what *run* has proposed for *keys*."""
        return self._found(keys, "night = ?", run)

    def _found(self, keys: Sequence[bytes], which: str, *values: str) -> list[Proposal]:
        found: list[Proposal] = []
        for first in range(0, len(keys), _AT_ONCE):
            some = keys[first : first + _AT_ONCE]
            query = _LOOK_UP.format(columns=_COLUMNS, places=",".join("?" * len(some)), which=which)
            found += map(_proposal, self._file.execute(query, [*some, *values]))
        return found


@contextmanager
def opened_students(path: Path) -> Iterator[StudentStore]:
    """Open the file at *path* while the block runs.

    Raises:
        DiskError: If it cannot be read or written.
    """
    try:
        with closing(StudentStore(path)) as store:
            yield store
    except sqlite3.Error as error:
        raise DiskError(f"{path}: {error}; make room, or remove it and all is proven anew") from error


def _proposal(found: Sequence[Any]) -> Proposal:
    key, labels, *others = found
    return Proposal(key, tuple(orjson.loads(labels)), *others)


def _night(found: Sequence[Any]) -> Night:
    run, secret, facts, outcome = found
    return Night(run, secret, orjson.loads(facts), outcome and orjson.loads(outcome))


def _write(file: sqlite3.Connection, night: Night) -> None:
    facts, outcome = orjson.dumps(night.facts), night.outcome and orjson.dumps(night.outcome)
    row = [night.run, night.secret, facts, outcome]
    file.execute("INSERT OR REPLACE INTO night VALUES (?, ?, ?, ?)", row)
