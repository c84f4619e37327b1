"""A ledger of an earlier format: what was paid for counts on, whatever has happened to its file."""

import shutil
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from zlib import crc32

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.ledger import open_store
from pipeline.ledger.schema import APPLICATION_ID
from pipeline.records import Answer
from tests.answers import answer, answers, key
from tests.ledger.test_store import ANSWERS

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
    folder.mkdir(mode=0o700, exist_ok=True)
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


def test_a_flip_of_any_bit_costs_one_answer_at_most(tmp_path: Path) -> None:
    with earlier(tmp_path / "whole", answers(0, 20)):
        pass
    good = (tmp_path / "whole" / FILE).read_bytes()
    first = good.index(key(9)) - 30
    for bit in range(first * 8, (first + 60) * 8):
        content = bytearray(good)
        content[bit // 8] ^= 1 << bit % 8
        folder = tmp_path / str(bit)
        folder.mkdir(mode=0o700)
        (folder / FILE).write_bytes(content)
        with open_store(folder) as store:
            found = store.look_up([key(n) for n in range(20)])
        assert len(found) >= 19
        assert all(each == answer(n) for n in range(20) if (each := found.get(key(n))))


@pytest.mark.parametrize("part", [slice(0, 100), slice(18, 20), slice(60, 64), slice(68, 72), slice(96, 300)])
def test_of_a_ledger_with_a_damaged_head_everything_comes_back(tmp_path: Path, part: slice) -> None:
    with earlier(tmp_path, answers(0, 2000)):
        pass
    content = bytearray((tmp_path / FILE).read_bytes())
    content[part] = bytes(len(content[part]))
    (tmp_path / FILE).write_bytes(content)
    with open_store(tmp_path) as store:
        assert len(store.look_up([key(n) for n in range(2000)])) == 2000


def test_what_is_in_a_damaged_log_comes_back(tmp_path: Path) -> None:
    with earlier(tmp_path / "work", answers(0, 2000)) as old:
        shutil.copytree(tmp_path / "work", tmp_path / "left")
        assert old.execute("SELECT count(*) FROM answers").fetchone() == (2000,)
    log = tmp_path / "left" / f"{FILE}-wal"
    content = bytearray(log.read_bytes())
    content[50] ^= 1
    log.write_bytes(content)
    with open_store(tmp_path / "left") as store:
        assert len(store.look_up([key(n) for n in range(2000)])) == 2000


def test_the_old_file_is_kept_and_the_log_says_where(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with earlier(tmp_path, answers(0, 4)):
        pass
    with open_store(tmp_path):
        pass
    assert "it is of format 2, an earlier one); 4 answers were saved" in caplog.text
    (kept,) = tmp_path.glob("*.damaged-*Z")
    assert str(kept) in caplog.text
