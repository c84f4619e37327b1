"""A ledger of an earlier format: what was paid for counts on, and what is damaged stays so."""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from zlib import crc32

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from answers import answer, answers, key
from ledger.test_store import ANSWERS
from pipeline.errors import CannotCreateError
from pipeline.ledger import connection, open_store
from pipeline.ledger.schema import APPLICATION_ID
from pipeline.records import Answer

FILE = "ledger.sqlite"

FORMAT_2 = f"""
PRAGMA journal_mode = WAL;
CREATE TABLE answers (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    key BLOB NOT NULL, run TEXT NOT NULL, text TEXT, finish TEXT, status TEXT, error TEXT, logprobs TEXT,
    prompt_tokens INTEGER, cached_tokens INTEGER, completion_tokens INTEGER, cost_usd REAL,
    model TEXT, request_id TEXT, attempts INTEGER NOT NULL, asks INTEGER NOT NULL, at REAL NOT NULL,
    checksum INTEGER NOT NULL
) STRICT;
CREATE TABLE latest (key BLOB PRIMARY KEY, id INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE progress (only INTEGER PRIMARY KEY CHECK (only = 1), indexed INTEGER NOT NULL) STRICT;
INSERT INTO progress VALUES (1, 0);
CREATE TABLE spent (run TEXT PRIMARY KEY, usd REAL NOT NULL) STRICT, WITHOUT ROWID;
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = 2;
"""


@contextmanager
def earlier(folder: Path, content: Iterable[Answer]) -> Iterator[sqlite3.Connection]:
    """Write a ledger of format 2 with *content*, none of it in its index, and give its connection."""
    old = sqlite3.connect(folder / FILE, isolation_level=None)
    try:
        old.executescript(FORMAT_2)
        for each in content:
            values = [each.key, *each[1:]]
            for place in (Answer._fields.index("cost_usd"), Answer._fields.index("at")):
                values[place] = None if values[place] is None else float(values[place]) + 0.0
            values.append(crc32(orjson.dumps(values[1:]), crc32(each.key)))
            old.execute(f"INSERT INTO answers VALUES (NULL{', ?' * len(values)})", values)
        yield old
    finally:
        old.close()


@given(batch=st.lists(ANSWERS, max_size=12))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_answer_is_there_and_the_newest_wins(
    tmp_path_factory: pytest.TempPathFactory, batch: list[Answer]
) -> None:
    folder = tmp_path_factory.mktemp("ledger")
    with earlier(folder, batch):
        pass
    for _ in range(2):
        with open_store(folder) as store:
            assert store.look_up([key(n) for n in range(7)]) == {each.key: each for each in batch}
            assert store.damaged == 0


def test_what_runs_have_spent_is_still_known_also_of_answers_that_were_pruned(tmp_path: Path) -> None:
    with earlier(tmp_path, answers(0, 4, cost_usd=0.25)) as old:
        old.execute("INSERT INTO spent VALUES ('run-1', 7.0)")
        old.execute("UPDATE progress SET indexed = 4")
        old.execute("INSERT INTO latest SELECT key, id FROM answers")
    with open_store(tmp_path) as store:
        assert store.spent("run-1") == 7.0
        assert len(store.look_up([key(n) for n in range(4)])) == 4


def test_a_ledger_of_the_first_format_learns_what_its_runs_have_spent(tmp_path: Path) -> None:
    with earlier(tmp_path, [*answers(0, 4, cost_usd=0.25), answer(1, cost_usd=0.5, asks=2)]) as old:
        old.execute("DROP TABLE spent")
        old.execute("PRAGMA user_version = 1")
    for _ in range(2):
        with open_store(tmp_path) as store:
            assert store.spent("run-1") == 1.25
            assert len(list(store.answers())) == 4


def test_a_damaged_answer_counts_as_none(tmp_path: Path) -> None:
    with earlier(tmp_path, answers(0, 4)) as old:
        old.execute("UPDATE answers SET text = 'sound' WHERE id = 2")
        old.execute("UPDATE answers SET error = CAST(x'ff' AS TEXT) WHERE id = 3")
    with open_store(tmp_path) as store:
        assert store.look_up([key(n) for n in range(4)]) == {key(0): answer(0), key(3): answer(3)}
        assert store.damaged == 2


def test_no_id_is_given_out_twice(tmp_path: Path) -> None:
    with earlier(tmp_path, answers(0, 4)) as old:
        old.execute("DELETE FROM answers WHERE id = 4")
    with open_store(tmp_path) as store:
        store.append([answer(9)])
        assert [row[0] for row in store._connection.execute("SELECT id FROM answers")] == [1, 2, 3, 5]


def test_one_that_is_damaged_itself_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    with earlier(tmp_path, answers(0, 2000)):
        pass
    content = bytearray((tmp_path / FILE).read_bytes())
    content[4096 * 20 : 4096 * 40] = b"\xff" * 4096 * 20
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(CannotCreateError, match="is of format 2 and damaged") as caught:
        open_store(tmp_path)
    assert caught.value.exit_status == 73
    assert (tmp_path / FILE).read_bytes() == content
    assert not list(tmp_path.glob("*damaged*"))


def test_who_finds_that_another_has_just_converted_it_leaves_it_so(tmp_path: Path) -> None:
    with earlier(tmp_path, answers(0, 4)) as one:
        other = sqlite3.connect(tmp_path / FILE, isolation_level=None)
        connection._bring_up(one, tmp_path / FILE)
        connection._bring_up(other, tmp_path / FILE)
        other.close()
    with open_store(tmp_path) as store:
        assert store.look_up([key(1)]) == {key(1): answer(1)}
