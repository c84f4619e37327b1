"""What no checksum covers is checked when a ledger is opened: the tables and the index."""

import sqlite3
from pathlib import Path

from pipeline.ledger import open_store
from tests.answers import answer, answers, key
from tests.ledger.repair.damage import FILE, aside


def test_an_index_that_hides_or_mixes_up_answers_is_noticed_when_the_ledger_is_opened_next(
    tmp_path: Path,
) -> None:
    for change in (
        "UPDATE latest SET id = 3 WHERE id = 7",
        "UPDATE latest SET key = x'00' WHERE id = 7",
        "DELETE FROM latest WHERE id = 7",
        "UPDATE progress SET indexed = 1000",
        "DELETE FROM progress",
        "UPDATE answers SET id = 99 WHERE id = 7",
        "PRAGMA application_id = 7",
        "PRAGMA user_version = 16777217",
        "DROP TABLE latest",
    ):
        folder = tmp_path / str(abs(hash(change)))
        with open_store(folder) as store:
            store.append(answers(0, 50))
            store.index()
        with sqlite3.connect(folder / FILE) as other:
            other.execute(change)
        other.close()
        with open_store(folder) as store:
            store.append([answer(100)])
            wanted = {key(n): answer(n) for n in (*range(50), 100)}
            assert store.look_up(list(wanted)) == wanted, change
        assert len(aside(folder)) == 1, change


def test_a_flipped_bit_in_what_creates_a_table_is_noticed(tmp_path: Path) -> None:
    with open_store(tmp_path / "whole") as store:
        store.append(answers(0, 30))
        store.index()
    good = (tmp_path / "whole" / FILE).read_bytes()
    first = good.index(b"CREATE TABLE answers")
    for at in range(first, good.index(b") STRICT", first), 23):
        content = bytearray(good)
        content[at] ^= 1
        folder = tmp_path / str(at)
        folder.mkdir(mode=0o700)
        (folder / FILE).write_bytes(content)
        with open_store(folder) as store:
            assert len(store.look_up([key(n) for n in range(30)])) == 30
            assert store.spent("run-1") == 7.5
        assert len(aside(folder)) == 1
