"""Answers read a set at a time: the same ones as one by one, and damage is noticed."""

import sqlite3
from collections.abc import Mapping

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from answers import answer, answers, key
from ledger.test_store import ANSWERS
from pipeline.ledger import packed
from pipeline.ledger.store import Store
from pipeline.records import Answer, Status


def look_up(store: Store, *numbers: int) -> tuple[Mapping[bytes, Answer], bool]:
    return packed.look_up(store._connection, sorted(map(key, numbers)))


@given(batch=st.lists(ANSWERS, max_size=8, unique_by=lambda each: each.key))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_set_holds_the_very_answers_that_were_appended(
    tmp_path_factory: pytest.TempPathFactory, batch: list[Answer]
) -> None:
    with Store(tmp_path_factory.mktemp("ledger") / "ledger.sqlite") as store:
        store.append(batch)
        store.index()
        found, complete = look_up(store, *range(7))
        assert found.items() <= {each.key: each for each in batch}.items()
        assert complete == (len(found) == len(batch))


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
    ],
)
def test_what_answers_hold_comes_through_packing(store: Store, changes: Mapping[str, object]) -> None:
    expected = [answer(1, **changes), answer(2)]
    store.append(expected)
    store.index()
    assert look_up(store, 1, 2, 3) == ({each.key: each for each in expected}, True)


def test_a_ledger_without_the_keys_gives_an_empty_set_that_is_complete(store: Store) -> None:
    assert look_up(store, 1, 2) == ({}, True)


@pytest.mark.parametrize(
    ("change", "readable"),
    [
        ("text = 'games' WHERE id = 2", {0, 2}),
        ("text = CAST(x'ff' AS TEXT) WHERE id = 2", set()),
        ("key = x'00' WHERE id = 2", {0, 2}),
        ("cost_usd = 9e999 WHERE id = 2", set()),
    ],
)
def test_a_set_with_a_damaged_answer_says_that_it_is_not_complete(
    store: Store, change: str, readable: set[int]
) -> None:
    store.append(answers(0, 3))
    store.index()
    store._connection.execute(f"UPDATE answers SET {change}")
    found, complete = look_up(store, 0, 1, 2)
    assert (set(found), complete) == ({key(n) for n in readable}, False)
    assert set(store.look_up([key(0), key(1), key(2)])) == {key(0), key(2)}
    assert store.damaged == 1


def test_an_answer_that_cannot_be_packed_is_found_all_the_same(store: Store) -> None:
    store.append([answer(1), answer(2, cost_usd=float("inf")), answer(3)])
    store.index()
    assert look_up(store, 1, 2, 3)[1] is False
    assert store.look_up([key(1), key(2), key(3)])[key(2)].cost_usd == float("inf")


def test_a_set_that_is_too_large_for_sqlite_is_read_one_by_one(store: Store) -> None:
    store.append(answers(0, 20, text="x" * 1000))
    store.index()
    store._connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 10_000)
    assert look_up(store, *range(20)) == ({}, False)
    assert len(store.look_up([key(n) for n in range(20)])) == 20


def test_a_failure_of_the_file_is_raised_and_not_taken_for_cells_that_cannot_be_packed(store: Store) -> None:
    store.append(answers(0, 20))
    store.index()
    store._connection.set_progress_handler(lambda: 1, 1)
    with pytest.raises(sqlite3.OperationalError, match="interrupted"):
        look_up(store, 1)
