"""What killed audits leave: which prompts are together in the end does not depend on how their coins fell."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.student.coin import toss
from pipeline.student.left_over import JOINING, LeftOver
from pipeline.student.store import Night, Proposal, StudentStore, opened_students
from tests.answers import key

SHARE = 0.5
FACTS = {"share": SHARE, "shares": {}}
MANY = 100.0


@pytest.fixture
def store(tmp_path: Path) -> Iterator[StudentStore]:
    with opened_students(tmp_path / "carried.sqlite") as store:
        yield store


def begin(store: StudentStore, run: str, rows: list[int], answered: set[bytes], secret: bytes) -> set[bytes]:
    """Take over what there is of the table of *rows*, and propose something for all of its other prompts; returns all of them."""
    left = LeftOver(store)
    left.tidy()
    left.see([key(row) for row in rows])
    new = [key(row) for row in rows if key(row) not in answered]
    fell = {each.key for each in store.undecided(new)}
    store.propose(JOINING, (Proposal(each, ("a",), None, "run") for each in new if each not in fell))
    left.hand_over(run, MANY)
    store.fix(Night(run, left.nights[0].secret if left.nights else secret, FACTS))
    return {each.key for each in store.proposals(run)}


TABLES = st.lists(st.sets(st.integers(0, 40), min_size=1), min_size=1, max_size=6)


@settings(max_examples=10)
@given(tables=TABLES, secret=st.binary(min_size=32, max_size=32))
def test_whatever_was_asked_before_each_kill_all_prompts_of_the_last_table_are_together_under_one_secret(
    tables: list[set[int]], secret: bytes
) -> None:
    answered = set[bytes]()
    with (
        TemporaryDirectory() as folder,
        opened_students(Path(folder) / "carried.sqlite") as store,
        store.changing(),
    ):
        for number, table in enumerate(tables):
            together = begin(store, f"run {number}", sorted(table), answered, secret)
            assert together == {key(row) for row in table}
            night = store.night(f"run {number}")
            assert night is not None
            assert night.secret == secret
            answered |= {each for each in together if toss(each, secret) < SHARE}


def test_prompts_of_another_table_stay_with_the_attempt_that_they_are_of(store: StudentStore) -> None:
    begin(store, "first", [1, 2, 3, 4], set(), b"x" * 32)
    begin(store, "second", [3, 4, 5], set(), b"y" * 32)
    assert {each.key for each in store.proposals("first")} == {key(1), key(2)}
    assert {each.key for each in store.proposals("second")} == {key(3), key(4), key(5)}
    store.end(Night("second", b"x" * 32, FACTS), {"status": "refused"}, None)
    begin(store, "third", [1, 2, 3], {key(3)}, b"z" * 32)
    assert store.night("first") is None
    assert {each.key for each in store.proposals("third")} == {key(1), key(2)}


def test_attempts_about_other_tables_are_not_gone_on_with(store: StudentStore) -> None:
    begin(store, "first", [1, 2], set(), b"x" * 32)
    begin(store, "second", [3], set(), b"y" * 32)
    left = LeftOver(store)
    left.see([key(3), key(4)])
    assert [night.run for night in left.here()] == ["second"]


def test_a_prompt_that_stands_for_too_many_rows_by_now_is_left_over_no_more(store: StudentStore) -> None:
    begin(store, "first", [1, 2], set(), b"x" * 32)
    left = LeftOver(store)
    left.see([key(1)] * 3 + [key(2)])
    assert left.kinds(2.0) == {0: 1}
    left.hand_over("second", 2.0)
    assert [each.key for each in store.proposals("second")] == [key(2)]
    assert LeftOver(store).nights == []


def test_what_was_proposed_and_never_fixed_is_forgotten(store: StudentStore) -> None:
    begin(store, "first", [1], set(), b"x" * 32)
    store.propose(JOINING, [Proposal(key(2), ("a",), None, "run")])  # and killed
    left = LeftOver(store)
    left.tidy()
    left.hand_over("second", MANY)
    assert list(store.proposals("second")) == []
    assert [each.key for each in store.proposals("first")] == [key(1)]
