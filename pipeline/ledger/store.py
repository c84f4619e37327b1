"""The ledger as tables, and the few statements that read and write them. Everything here blocks.

Answers are appended in the order of their arrival, which costs the same however many there are. The index, a table
`latest` from a key to its newest answer, is updated in sets, in key order: keys are random, and each row inserted
on its own would write a page of its own.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Self

from pipeline.ledger import lookup
from pipeline.ledger.database import OpenFile, index, transaction
from pipeline.ledger.prune import Prunable, give_space_back, prunable, prune
from pipeline.ledger.schema import (
    BEHIND,
    INSERT,
    INSERT_NEW,
    NAMED,
    SELECT,
    SPENT_BY_RUN,
    Cells,
    DamagedError,
    answer_of,
    cells_of,
)
from pipeline.records import KEY_BYTES, Answer, Answers

KEYS_PER_STATEMENT = 4096
ROWS_PER_FETCH = 1000

NEWEST = f"{SELECT}, a.id FROM answers a JOIN latest l ON l.key = a.key AND l.id = a.id WHERE a.id > ? ORDER BY a.id LIMIT {ROWS_PER_FETCH}"
ALL = f"{SELECT}, a.id FROM answers a WHERE a.id > ? ORDER BY a.id LIMIT {ROWS_PER_FETCH}"
LOOK_UP = f"{SELECT}, l.key FROM latest l LEFT JOIN answers a ON a.id = l.id WHERE l.key IN ({{}})"
TOTALS = f"""
SELECT CAST(run AS BLOB), count(*) FILTER (WHERE asks > 0), total(prompt_tokens), total(completion_tokens), sum(cost_usd)
FROM {NAMED} WHERE run IS NOT NULL AND id IN (SELECT max(id) FROM {NAMED} {{}} GROUP BY run, key) GROUP BY run ORDER BY min(at)
"""  # noqa: S608 - the statement is constant
RECENT_TOKENS = f"""
SELECT CAST(model AS BLOB), completion_tokens FROM (SELECT * FROM {NAMED} ORDER BY id DESC LIMIT 1000)
WHERE typeof(completion_tokens) = 'integer' AND completion_tokens > 0 AND model IS NOT NULL AND text IS NOT NULL AND asks > 0
"""  # noqa: S608 - as above


@dataclass(frozen=True, slots=True)
class RunTotals:
    """What one run has paid for, according to the ledger."""

    run: str
    answers: int
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float | None

    def plus(self, other: "RunTotals") -> "RunTotals":
        """Return the sum with what the same run has paid for elsewhere."""
        costs = [cost for cost in (self.cost_usd, other.cost_usd) if cost is not None]
        return RunTotals(
            self.run,
            self.answers + other.answers,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            sum(costs) if costs else None,
        )


class Store:
    """An open ledger file; for one thread at a time.

    A file that turns out to be damaged is replaced by a new one with every intact answer.

    Attributes:
        file: The file, which knows how to rebuild itself.
        damaged: Answers that were found damaged and count as absent.
    """

    def __init__(self, path: Path) -> None:
        """Open *path*, creating it if need be.

        Raises:
            ConfigError: If it is of another format.
            CannotCreateError: If it is not a ledger.
            DiskError: If it is damaged and there is no room for a new one.
            sqlite3.Error, OSError: If it cannot be read or written.
        """
        self.file = OpenFile(path)
        self.damaged = 0

    @classmethod
    def of(cls, file: OpenFile) -> Self:
        """Return the ledger in an open *file*."""
        store = cls.__new__(cls)
        store.file, store.damaged = file, 0
        return store

    def append(self, answers: Iterable[Answer]) -> None:
        """Make *answers* durable, in one transaction."""
        self.file.do(partial(_append, cells=list(map(cells_of, answers))), writes=True)

    def append_new(self, cells: Sequence[Cells]) -> None:
        """Make answers that another ledger has durable, in one transaction, but for those that are a key's newest here already."""
        self.index()
        self.file.do(partial(_append, cells=cells, statement=INSERT_NEW), writes=True)

    def look_up(self, keys: Sequence[bytes]) -> Answers:
        """Return the newest answer of each of *keys* that has one."""
        self.index()  # only now: while nothing is looked up, sets grow larger and cheaper to merge
        return self.file.do(partial(self._look_up, sorted(keys)))

    def _look_up(self, keys: Sequence[bytes], connection: sqlite3.Connection) -> Answers:
        sets = [keys[at : at + KEYS_PER_STATEMENT] for at in range(0, len(keys), KEYS_PER_STATEMENT)]
        found = [self._look_up_set(some, connection) for some in sets]
        return found[0] if len(found) == 1 else Answers.of(chain.from_iterable(f.values() for f in found))

    def _look_up_set(self, keys: Sequence[bytes], connection: sqlite3.Connection) -> Answers:
        known = lookup.look_up(connection, keys)
        return Answers.of(self._look_up_singly(connection, keys)) if known is None else known

    def _look_up_singly(self, connection: sqlite3.Connection, keys: Sequence[bytes]) -> Iterator[Answer]:
        """Look up a set row by row, to leave out what is damaged."""
        for row in connection.execute(LOOK_UP.format(",".join("?" * len(keys))), keys):
            if row[0] is None:
                raise DamagedError("its index leads nowhere")
            answer = answer_of(*row[:-1])
            if answer is None:
                self.damaged += 1  # counts as absent: it is asked again
            elif answer.key == row[-1]:
                yield answer
            else:
                raise DamagedError("its index leads to the answer of another key")

    def starting_with(self, prefix: bytes) -> Answers:
        """Return the newest answer of each key that starts with *prefix*."""
        self.index()
        bounds = (prefix, prefix.ljust(KEY_BYTES, b"\xff"))
        query = "SELECT key FROM latest WHERE key BETWEEN ? AND ?"
        keys = self.file.do(lambda connection: connection.execute(query, bounds).fetchall())
        return self.look_up([key for (key,) in keys])

    def index(self) -> None:
        """Add the answers that any process has appended to the index."""
        if self.file.do(lambda connection: connection.execute(BEHIND).fetchone()[0]):
            self.file.do(index, writes=True)

    def answers(self) -> Iterator[Answer]:
        """Yield the newest answer of every key, in the order of their arrival."""
        self.index()
        last = 0
        # Fetched by id and not from one open cursor: the file may be rebuilt in between, and ids stay.
        while some := self.file.do(lambda connection: connection.execute(NEWEST, (last,)).fetchall()):  # noqa: B023 - called now
            last = some[-1][-1]
            for answer in (answer_of(*row[:-1]) for row in some):
                if answer is None:
                    self.damaged += 1
                elif answer.asks:
                    yield answer

    def cells(self) -> Iterator[Cells]:
        """Yield every answer, superseded ones and bills too, as cells, in the order of their arrival."""
        last = 0
        while some := self.file.do(lambda connection: connection.execute(ALL, (last,)).fetchall()):  # noqa: B023 - called now
            last = some[-1][-1]
            yield from (row[:-1] for row in some)

    def append_cells(self, cells: Sequence[Cells]) -> None:
        """Make answers durable that `cells` has yielded, in one transaction."""
        self.file.do(partial(_append, cells=cells), writes=True)

    def spent(self, run: str) -> float:
        """Return the US dollars that *run* has paid, as far as prices are known."""
        self.index()
        found = self.file.do(lambda connection: connection.execute(SPENT_BY_RUN, (run,)).fetchone())
        return float(found[0]) if found else 0.0

    def totals(self, run: str | None = None) -> list[RunTotals]:
        """Return what each run, or only *run*, has paid for, oldest run first.

        An answer that was asked again in the same run holds the sum of both, so only the newest of them counts.
        """
        query = TOTALS.format("WHERE run = ?" if run else "")
        runs = self.file.do(lambda connection: connection.execute(query, (run,) if run else ()).fetchall())
        return [RunTotals(r[0].decode(errors="replace"), r[1], int(r[2]), int(r[3]), r[4]) for r in runs]

    def recent_tokens(self) -> list[tuple[str, int]]:
        """Return the model and the completion tokens of the replies among the newest answers, as far as they tell both."""
        found = self.file.do(lambda connection: connection.execute(RECENT_TOKENS).fetchall())
        return [(model.decode(errors="replace"), tokens) for model, tokens in found]

    def prune(self, before: float) -> int:
        """Delete answers that arrived before *before* (Unix time), a few at a time; return how many."""
        self.index()
        return prune(self.file, before)

    def prunable(self, before: float) -> Prunable:
        """Return what `prune` would delete."""
        self.index()
        return prunable(self.file, before)

    def give_space_back(self) -> None:
        """Make the file as small as its answers; nobody can write to it meanwhile."""
        give_space_back(self.file)

    def close(self) -> None:
        """Close the file."""
        self.file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.close()


def _append(connection: sqlite3.Connection, cells: Sequence[Cells], statement: str = INSERT) -> None:
    with transaction(connection):
        connection.executemany(statement, cells)
