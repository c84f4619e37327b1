"""The ledger's file: what goes in comes out, newest first, and damage is noticed."""

import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.ledger import open_store, opened
from pipeline.ledger.prune import ANSWERS_AT_ONCE, Prunable
from pipeline.ledger.store import Store
from pipeline.records import Answer, Status
from tests.answers import ANSWERS, answer, answers, key
from tests.jobs import environment


@given(batches=st.lists(st.lists(ANSWERS, max_size=6), max_size=4))
@settings(max_examples=40)
def test_whatever_is_appended_is_found_again_and_the_newest_wins(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[Answer]]
) -> None:
    with Store(tmp_path_factory.mktemp("ledger") / "ledger.sqlite") as store:
        newest: dict[bytes, Answer] = {}
        for batch in batches:
            store.append(batch)
            newest.update({each.key: each for each in batch})
            assert store.look_up([key(n) for n in range(7)]) == newest
        assert sorted(store.answers(), key=repr) == sorted(newest.values(), key=repr)
        assert store.damaged == 0


def test_more_keys_than_one_statement_takes_are_looked_up(store: Store) -> None:
    store.append(answers(0, 3000))
    found = store.look_up([key(n) for n in range(1000, 4000)])
    assert set(found) == {key(n) for n in range(1000, 3000)}


def test_an_entry_of_the_index_that_leads_astray_gives_nobody_a_wrong_answer(
    store: Store, tmp_path: Path
) -> None:
    store.append(answers(0, 3))
    store.index()
    with sqlite3.connect(tmp_path / "ledger.sqlite") as other:
        other.execute("UPDATE latest SET id = 3 WHERE id = 2")
    other.close()
    assert store.look_up([key(0), key(1)]) == {key(0): answer(0), key(1): answer(1)}


def test_a_ledger_with_damaged_pages_goes_on_with_what_is_left(tmp_path: Path) -> None:
    with Store(tmp_path / "ledger.sqlite") as store:
        store.append(answers(0, 2000))
        store.index()
    content = bytearray((tmp_path / "ledger.sqlite").read_bytes())
    content[4096 * 2 : 4096 * 40] = b"\xff" * 4096 * 38
    (tmp_path / "ledger.sqlite").write_bytes(content)
    with opened(tmp_path) as damaged:
        assert damaged
        found = damaged.look_up([key(n) for n in range(2000)])
    assert 500 < len(found) < 2000
    assert all(each == answer(int((each.request_id or "").removeprefix("req-"))) for each in found.values())


def test_a_commit_that_fails_leaves_no_transaction_open(store: Store) -> None:
    store.file.connection.execute("PRAGMA max_page_count = 20")
    with pytest.raises(sqlite3.OperationalError, match="full"):
        store.append(answers(0, 5000))
    store.file.connection.execute("PRAGMA max_page_count = 100000")
    store.append(answers(0, 5))
    assert len(store.look_up([key(n) for n in range(10)])) == 5


def test_answers_that_cannot_be_stored_leave_no_transaction_open(store: Store) -> None:
    store.file.connection.execute(
        "CREATE TEMP TRIGGER full BEFORE INSERT ON answers WHEN new.body LIKE '%,_no_,%' BEGIN SELECT RAISE(ABORT, 'no'); END"
    )
    with pytest.raises(sqlite3.IntegrityError):
        store.append([answer(1), answer(2, text="no")])
    store.append([answer(3)])
    assert set(store.look_up([key(n) for n in range(5)])) == {key(3)}


def test_totals_count_an_answer_once_that_was_asked_again_in_the_same_run(store: Store) -> None:
    store.append([answer(1, prompt_tokens=100, cost_usd=0.1), answer(2, prompt_tokens=50, cost_usd=None)])
    store.append([answer(1, prompt_tokens=230, cost_usd=0.2, asks=2)])
    store.append([answer(1, run="run-2", prompt_tokens=7, cost_usd=None, at=2000.0)])
    first, second = store.totals()
    assert (first.run, first.answers, first.prompt_tokens) == ("run-1", 2, 280)
    assert (second.run, second.answers, second.prompt_tokens, second.cost_usd) == ("run-2", 1, 7, None)
    assert store.spent("run-1") == pytest.approx(0.2)
    assert store.spent("run-2") == store.spent("run-3") == 0.0


def test_a_bill_counts_as_no_answer_and_is_in_the_sums(store: Store) -> None:
    bill = answer(9, text=None, asks=0, prompt_tokens=70, completion_tokens=7, cost_usd=0.5)
    store.append([answer(1, cost_usd=0.25), bill._replace(cost_usd=0.125), bill])
    (found,) = store.totals("run-1")
    assert (found.answers, found.prompt_tokens, found.completion_tokens) == (1, 170, 12)
    assert found.cost_usd == store.spent("run-1") == 0.75
    assert [each.key for each in store.answers()] == [key(1)]


def test_pruning_never_hides_an_answer_that_comes_later(store: Store) -> None:
    store.append(answers(0, 10, at=1000.0))
    assert store.prune(before=1500.0) == 10
    store.append(answers(0, 5, at=2000.0))
    assert set(store.look_up([key(n) for n in range(10)])) == {key(n) for n in range(5)}
    assert store.prune(before=1500.0) == 0
    assert len(list(store.answers())) == 5


def test_pruning_after_the_clock_was_set_back_keeps_the_older_answer_that_stays(store: Store) -> None:
    store.append([answer(1, at=2000.0, text="kept")])
    store.append([answer(1, at=1000.0, text="pruned")])
    assert store.prune(before=1500.0) == 1
    assert store.look_up([key(1)])[key(1)].text == "kept"


def test_what_would_be_pruned_is_counted_with_what_it_would_cost_again(store: Store) -> None:
    store.append(answers(0, 3, at=1000.0, cost_usd=0.25))
    store.append([answer(1, at=1001.0, cost_usd=0.5), answer(7, at=2000.0, cost_usd=9.0)])
    assert store.prunable(before=1500.0) == Prunable(4, 1.0)
    assert store.prunable(before=0.0) == Prunable(0, None)


def test_old_bills_are_pruned_and_not_counted(store: Store) -> None:
    store.append([answer(n, asks=n % 2, at=1000.0, cost_usd=0.25) for n in range(6)])
    assert store.prunable(before=1500.0) == Prunable(3, 0.75)
    assert store.prune(before=1500.0) == 3
    assert store.file.do(
        lambda connection: connection.execute("SELECT count(*) FROM answers").fetchone()
    ) == (0,)


def test_answers_of_unknown_cost_are_not_counted_as_free(store: Store) -> None:
    store.append(answers(0, 3, at=1000.0, cost_usd=0.25))
    store.append(answers(3, 5, at=1000.0, cost_usd=None))
    store.append([answer(3, at=1001.0, cost_usd=0.5)])
    store.append([answer(9, at=1000.0, cost_usd=None, text=None, status=Status.ERROR, error="it broke")])
    assert store.prunable(before=1500.0) == Prunable(7, 1.25, unpriced=1)


def test_pruning_many_lets_others_write_in_between(store: Store, tmp_path: Path) -> None:
    store.append(answers(0, 2 * ANSWERS_AT_ONCE + 1))
    written = []
    with Store(tmp_path / "ledger.sqlite") as other:

        def write(statement: str) -> None:
            if statement.strip().startswith("SELECT min(id)"):  # before each transaction
                written.append(answer(99_000 + len(written), at=2000.0))
                other.append(written[-1:])

        store.file.connection.set_trace_callback(write)
        assert store.prune(before=1500.0) == 2 * ANSWERS_AT_ONCE + 1
    assert len(written) == 4
    assert list(store.answers()) == written


def test_pruning_takes_damaged_answers_along(store: Store) -> None:
    store.append(answers(0, 10, at=2000.0))
    store.file.connection.execute("UPDATE answers SET body = 'no JSON' WHERE id = 3")
    assert store.prune(before=1500.0) == 1
    assert len(store.look_up([key(n) for n in range(10)])) == 9


def test_pruning_gives_the_space_back(store: Store, tmp_path: Path) -> None:
    store.append(answers(0, 5000, text="x" * 200))
    store.prune(before=1500.0)
    store.give_space_back()
    assert (tmp_path / "ledger.sqlite").stat().st_size < 100_000


WRITER = """
import sys, time
from pathlib import Path
from tests.answers import answer
from pipeline.ledger import open_store

folder, first, begin = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
time.sleep(max(0, begin - time.time()))
with open_store(folder) as store:
    for number in range(first, first + 400, 10):
        store.append([answer(n) for n in range(number, number + 10)])
        store.index()
"""


@pytest.mark.parametrize("round_", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in range(1, 4))])
@pytest.mark.usefixtures("round_")
def test_processes_that_create_and_fill_one_ledger_at_once_lose_nothing(tmp_path: Path) -> None:
    begin = str(time.time() + 0.6)
    env = environment()
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path / "state"), str(first), begin],
            env=env, stderr=subprocess.PIPE, text=True,
        )
        for first in (0, 1000, 2000)
    ]  # fmt: skip
    for writer in writers:
        _, complaint = writer.communicate()
        assert writer.returncode == 0, complaint
    with open_store(tmp_path / "state") as store:
        wanted = [key(first + n) for first in (0, 1000, 2000) for n in range(400)]
        assert set(store.look_up(wanted)) == set(wanted)
