"""Answers read a set at a time: the same ones as one by one, and damage is noticed."""

import sqlite3
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.ledger import lookup
from pipeline.ledger.store import Store
from pipeline.records import Answer, Status
from tests.answers import ANSWERS, answer, answers, key


def look_up(store: Store, *numbers: int) -> Mapping[bytes, Answer] | None:
    return lookup.look_up(store.file.connection, sorted(map(key, numbers)))


@pytest.mark.slow
@given(batch=st.lists(ANSWERS, max_size=8, unique_by=lambda each: each.key))
@settings(max_examples=60)
def test_a_set_holds_the_very_answers_that_were_appended(
    tmp_path_factory: pytest.TempPathFactory, batch: list[Answer]
) -> None:
    with Store(tmp_path_factory.mktemp("ledger") / "ledger.sqlite") as store:
        store.append(batch)
        store.index()
        assert look_up(store, *range(7)) == {each.key: each for each in batch}


@pytest.mark.parametrize(
    "changes",
    [
        {"text": 'é "quoted" \\ \n\t\x01 \u2028 \x00 🎲', "error": ""},
        {"text": None, "status": Status.FILTERED, "error": "filtered"},
        {"cost_usd": None, "prompt_tokens": None, "logprobs": None, "model": None, "request_id": None},
        {"cost_usd": 71 * 1e-7 + 5 * 4e-7, "at": 1795807609.2721837},
        {"cost_usd": 0.0, "at": 0.1 + 0.2},
        {"cost_usd": 2.5e-11},
        {"prompt_tokens": 2**62},
        {"request_id": "\x1e\n\x00"},
    ],
)
def test_what_answers_hold_comes_through_packing(store: Store, changes: Mapping[str, object]) -> None:
    expected = [answer(1, **changes), answer(2)]
    store.append(expected)
    store.index()
    assert look_up(store, 1, 2, 3) == {each.key: each for each in expected}


def test_a_ledger_without_the_keys_gives_an_empty_set(store: Store) -> None:
    assert look_up(store, 1, 2) == {}


@pytest.mark.parametrize(
    "change",
    [
        "body = replace(body, 'games', 'sound')",
        "body = CAST(x'ff' AS TEXT)",
        "body = body || char(30)",
        "body = ''",
        "key = x'00'",
        "checksum = checksum + 1",
    ],
)
def test_a_set_with_a_damaged_answer_is_read_one_by_one(store: Store, change: str) -> None:
    store.append(answers(0, 3))
    store.index()
    store.file.connection.execute(f"UPDATE answers SET {change} WHERE id = 2")
    assert look_up(store, 0, 1, 2) is None
    assert store.look_up([key(0), key(1), key(2)]) == {key(0): answer(0), key(2): answer(2)}
    assert store.damaged == 1


@pytest.mark.parametrize("where", ["id = 1", "id = 2", "id = 3", "true"])
def test_a_set_in_which_one_key_leads_to_the_answer_of_another_is_read_one_by_one(
    store: Store, where: str
) -> None:
    store.append(answers(0, 3))
    store.index()
    store.file.connection.execute(f"UPDATE latest SET id = id % 3 + 1 WHERE {where}")
    assert look_up(store, 0, 1, 2) is None


def test_a_set_that_is_too_large_for_sqlite_is_read_one_by_one(store: Store) -> None:
    store.append(answers(0, 20, text="x" * 1000))
    store.index()
    store.file.connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 10_000)
    assert look_up(store, *range(20)) is None
    assert len(store.look_up([key(n) for n in range(20)])) == 20


def test_a_failure_of_the_file_is_raised_and_not_taken_for_cells_that_cannot_be_packed(store: Store) -> None:
    store.append(answers(0, 20))
    store.index()
    store.file.connection.set_progress_handler(lambda: 1, 1)
    with pytest.raises(sqlite3.OperationalError, match="interrupted"):
        look_up(store, 1)
