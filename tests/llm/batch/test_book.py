"""The book of batches: what was written in it is there whatever happens, and what is struck out has gone."""

import sqlite3
from pathlib import Path

import pytest

from pipeline.errors import DiskError
from pipeline.llm.batch.book import FILE, Book, Submission, is_under_way

KEYS = {bytes([n]) * 16 for n in range(50)}
ONE = Submission("i1", "run", "https://host/v1", len(KEYS), 0.5, 100.0)


def test_what_was_written_is_there_for_the_next_process(tmp_path: Path) -> None:
    assert not is_under_way(tmp_path)
    with Book(tmp_path) as book:
        book.add(ONE, KEYS)
        book.update(ONE._replace(file="f", tried_at=101.0, batch="b"))
    with Book(tmp_path) as book:
        assert book.submissions() == [ONE._replace(file="f", tried_at=101.0, batch="b")]
        assert book.keys("i1") == KEYS
        assert book.being_asked([*KEYS, b"another key 16 b"]) == dict.fromkeys(KEYS, "i1")
    assert is_under_way(tmp_path)


def test_what_is_struck_out_is_asked_by_nobody(tmp_path: Path) -> None:
    with Book(tmp_path) as book:
        book.add(ONE, KEYS)
        book.add(ONE._replace(intent="i2", written_at=1.0), {b"another key 16 b"})
        assert [each.intent for each in book.submissions()] == ["i2", "i1"], "the oldest first"
        book.strike("i1")
        assert book.being_asked(list(KEYS)) == {}
        assert [each.intent for each in book.submissions()] == ["i2"]


def test_a_key_is_asked_in_one_batch_only(tmp_path: Path) -> None:
    with Book(tmp_path) as book:
        book.add(ONE, KEYS)
        with pytest.raises(DiskError):
            book.add(ONE._replace(intent="i2"), KEYS)
        assert [each.intent for each in book.submissions()] == ["i1"], "neither half of it was written"


def test_a_book_is_its_owners_and_survives_a_power_cut(tmp_path: Path) -> None:
    with Book(tmp_path / "state") as book:
        assert (tmp_path / "state" / FILE).stat().st_mode & 0o077 == 0
        assert book._connection.execute("PRAGMA synchronous").fetchone() == (2,)


def test_a_damaged_book_ends_the_run_and_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"no database at all" * 300)
    with pytest.raises(DiskError, match="which batches are under way"):
        Book(tmp_path)
    with pytest.raises(sqlite3.DatabaseError):
        sqlite3.connect(tmp_path / FILE).execute("SELECT 1 FROM sqlite_schema")
