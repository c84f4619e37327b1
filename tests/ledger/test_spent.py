"""What a run has spent is known at once, and is what its answers say."""

import math
import sqlite3
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.ledger.store import Store
from tests.answers import answer, answers

COSTS = st.none() | st.floats(0, 10)
ASKS = st.tuples(st.integers(0, 5), st.sampled_from(["run-1", "run-2"]), COSTS)


@given(batches=st.lists(st.tuples(st.lists(ASKS, max_size=8), st.booleans()), max_size=6))
@settings(max_examples=60)
def test_it_is_the_sum_over_the_newest_answer_of_each_key_however_they_were_indexed(
    tmp_path_factory: pytest.TempPathFactory, batches: list[tuple[list[tuple[int, str, float | None]], bool]]
) -> None:
    with Store(tmp_path_factory.mktemp("ledger") / "ledger.sqlite") as store:
        for asks, index in batches:
            # Each run has keys of its own: no ledger knows what a run asked again after another one had asked.
            store.append([answer(10 * (run == "run-2") + n, run=run, cost_usd=cost) for n, run, cost in asks])
            if index:
                store.index()
        for run in ("run-1", "run-2"):
            totals = sum(each.cost_usd or 0.0 for each in store.totals(run))
            assert store.spent(run) == pytest.approx(totals, abs=1e-9)


def test_an_answer_that_a_later_run_pays_again_is_on_both_bills(store: Store) -> None:
    store.append([answer(1, cost_usd=0.1)])
    store.index()
    store.append([answer(1, run="run-2", cost_usd=0.3)])
    assert (store.spent("run-1"), store.spent("run-2")) == (0.1, 0.3)


def test_a_second_process_that_indexes_bills_nothing_twice(store: Store, tmp_path: Path) -> None:
    with Store(tmp_path / "ledger.sqlite") as other:
        store.append(answers(0, 40, cost_usd=0.25))
        other.index()
        store.index()
        assert store.spent("run-1") == other.spent("run-1") == 10.0


def test_what_was_spent_outlasts_the_answers_that_are_pruned(store: Store) -> None:
    store.append(answers(0, 4, cost_usd=0.25))
    store.prune(before=1500.0)
    assert store.spent("run-1") == 1.0


def test_costs_beyond_all_bounds_do_not_block_the_ledger(store: Store) -> None:
    for number in (1, 2, 1, 1):
        store.append([answer(number, cost_usd=sys.float_info.max)])
        store.index()
    assert store.spent("run-1") == math.inf


def test_a_damaged_answer_is_on_nobodys_bill(store: Store) -> None:
    store.append(answers(0, 4, cost_usd=0.25))
    store.file.connection.execute("UPDATE answers SET body = 'no JSON' WHERE id = 2")
    assert store.spent("run-1") == 0.75
    assert [each.answers for each in store.totals()] == [3]


def test_a_ledger_whose_sums_are_gone_is_rebuilt_with_them(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with Store(path) as store:
        store.append([*answers(0, 4, cost_usd=0.25), answer(1, cost_usd=0.5, asks=2)])
        store.index()
    with sqlite3.connect(path) as other:
        other.execute("DROP TABLE spent")
    other.close()
    with Store(path) as store:
        assert store.spent("run-1") == 1.25
