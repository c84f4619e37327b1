"""What `plan` says is what is billed then, by tokenizers that it does not have: ten tables of different kinds."""

from pathlib import Path
from statistics import median
from typing import Any

import pytest

from tests.plan.promise import SOME, kept
from tests.plan.tables import Table, tables
from tests.plan.taught import ranges

pytestmark = pytest.mark.usefixtures("same_coins")

ROWS = 200


def errors(folder: Path, **how: Any) -> list[float]:
    found = [kept(table, folder / str(number), **how) for number, table in enumerate(tables(ROWS))]
    assert all(each.plan.requests == pytest.approx(each.requests, rel=0.1) for each in found)
    return [abs(each.error) for each in found]


@pytest.mark.slow
def test_before_any_answer_the_bill_is_known_within_15_percent(tmp_path: Path) -> None:
    assert median(errors(tmp_path)) < 0.15


@pytest.mark.slow
def test_after_20_answers_the_bill_is_known_within_5_percent(tmp_path: Path) -> None:
    found = errors(tmp_path, answers=SOME)
    assert median(found) < 0.05
    assert sum(each < 0.10 for each in found) >= 9


@pytest.mark.slow
def test_after_20_answers_the_bill_of_packs_is_known_within_5_percent(tmp_path: Path) -> None:
    found = errors(tmp_path, answers=SOME, rows_per_request=5)
    assert median(found) < 0.05
    assert sum(each < 0.10 for each in found) >= 9


@pytest.mark.slow
def test_answers_to_rows_alone_tell_what_packs_are_going_to_cost(tmp_path: Path) -> None:
    def packed(number: int, table: Table) -> float:
        return abs(kept(table, tmp_path / str(number), answers=SOME, then={"rows_per_request": 10}).error)

    assert median(packed(number, table) for number, table in enumerate(tables(ROWS))) < 0.10


@pytest.mark.slow
def test_a_prefix_that_the_provider_keeps_is_planned_as_it_was_billed(tmp_path: Path) -> None:
    labels = [(f"label {n}", f"whatever has to do with the number {n}, and nothing else") for n in range(90)]
    table = Table("cached", tables(ROWS)[4].rows, labels)
    for how in ({}, {"rows_per_request": 5}, {"then": {"rows_per_request": 5}}):
        found = kept(table, tmp_path / str(how), answers=SOME, **how)
        assert found.plan.cached_tokens > found.plan.prompt_tokens / 2
        assert abs(found.error) < (0.10 if "then" in how else 0.05)


@pytest.mark.slow
@pytest.mark.parametrize("answers", [0, 600])
def test_the_range_of_a_student_holds_the_bill_in_nine_of_ten(tmp_path: Path, answers: int) -> None:
    found = list(ranges(tmp_path, answers=answers))
    assert sum(each.holds for each in found) >= 9
    assert len({each.requests for each in found}) > 1
