"""A run keeps to its budget whatever the endpoint bills, and finds out early whether it can."""

from pathlib import Path
from random import Random
from typing import Any

import pytest

from pipeline.errors import ConfigError, LimitReachedError
from pipeline.llm.replies import Failure, FailureKind
from tests.llm.scripted import Behave, Case, Sent, limits, said
from tests.llm.virtual_time import in_virtual_time

ROWS = [f"row {number}" for number in range(1000)]
PRICES = {"pricing": {"input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6}}


def asked(
    folder: Path, behave: Behave, *, about: Any = None, texts: list[str] = ROWS, **sections: Any
) -> Case:
    """Ask about *texts* until all are answered or the run must stop; *about* is the model object, or a list of them."""

    async def main() -> Case:
        case = Case(limits(folder, **sections), behave)
        told = about if isinstance(about, list) else [about]

        async def model(name: str) -> Any:
            looked.append(name)
            found = told[min(len(looked), len(told)) - 1]
            return found if found is not None else Failure(FailureKind.TRANSIENT, "no reply within 10 s")

        looked: list[str] = []
        case.endpoint.model = model  # type: ignore[method-assign]
        await case.run(texts)
        case.looked = looked  # type: ignore[attr-defined]
        return case

    return in_virtual_time(main())


def billed(prompt: int, completion: int) -> Sent:
    return said(usage={"prompt_tokens": prompt, "completion_tokens": completion})


@pytest.mark.parametrize("factor", [1, 20])
@pytest.mark.parametrize("rows", [5, 70, 700])
def test_a_budget_holds_where_the_endpoint_bills_far_more_than_is_estimated(
    tmp_path: Path, factor: int, rows: int
) -> None:
    budget = rows * factor * (100 * 1 + 5 * 2) * 1e-6
    case = asked(tmp_path, lambda _: billed(100 * factor, 5 * factor), limits={"max_cost_usd": budget})
    assert isinstance(case.stopped[0], LimitReachedError)
    assert case.dispatcher.budget.spent_usd <= budget * 1.0001
    assert len(case.answers) >= rows - 3
    assert rows < 700 or case.endpoint.most_in_flight == 64


def test_a_budget_holds_where_some_replies_cost_thirty_times_as_much_as_others(tmp_path: Path) -> None:
    chance = Random(7)
    budget = 0.05
    case = asked(
        tmp_path,
        lambda _: billed(100, 2000 if chance.random() < 0.1 else 5),  # some think for long
        limits={"max_cost_usd": budget},
        model={"max_tokens": 2000},
    )
    assert isinstance(case.stopped[0], LimitReachedError)
    assert budget * 0.9 <= case.dispatcher.budget.spent_usd <= budget


def test_a_budget_smaller_than_a_bound_is_used_row_by_row(tmp_path: Path) -> None:
    case = asked(tmp_path, lambda _: billed(100, 5), limits={"max_cost_usd": 3.5 * 110e-6})
    assert isinstance(case.stopped[0], LimitReachedError)
    assert (len(case.endpoint.calls), case.endpoint.most_in_flight) == (3, 1)


@pytest.mark.parametrize("about", [None, {}, {"id": "m", "pricing": None}])
def test_a_price_that_nobody_tells_ends_a_run_with_a_budget_after_one_reply_that_is_kept(
    tmp_path: Path, about: Any
) -> None:
    case = asked(tmp_path, lambda _: said(), about=about, limits={"max_cost_usd": 1}, model={"price": None})
    assert isinstance(case.stopped[0], ConfigError)
    assert (len(case.endpoint.calls), len(case.answers)) == (1, 1)


def test_a_cost_that_the_first_reply_tells_is_enough_for_a_budget(tmp_path: Path) -> None:
    told = said(usage={"prompt_tokens": 100, "completion_tokens": 5, "cost": 0.001})
    case = asked(tmp_path, lambda _: told, limits={"max_cost_usd": 0.1}, model={"price": None})
    assert isinstance(case.stopped[0], LimitReachedError)
    assert 0.09 <= case.dispatcher.budget.spent_usd <= 0.1


def test_replies_that_stop_telling_their_cost_do_not_end_a_run_with_a_budget(tmp_path: Path) -> None:
    told = {"prompt_tokens": 100, "completion_tokens": 5, "cost": 0.001}
    case = asked(
        tmp_path,
        lambda call: said(usage=told if call.text == "row 0" else None),
        limits={"max_cost_usd": 2},
        model={"price": None},
    )
    assert (case.stopped, len(case.answers)) == ([], 1000)
    assert case.dispatcher.budget.spent_usd == pytest.approx(1.0)


def test_a_price_that_could_not_be_learned_at_the_start_is_learned_after_the_first_reply(
    tmp_path: Path,
) -> None:
    case = asked(
        tmp_path,
        lambda _: said(),
        about=[None, PRICES],
        limits={"max_cost_usd": 1},
        model={"price": None},
    )
    assert (case.stopped, len(case.answers), case.dispatcher.billing.source) == ([], 1000, "endpoint")
    assert [answer.cost_usd is None for answer in case.answers.values()].count(True) == 1


def test_without_a_budget_the_endpoint_is_asked_for_its_price_now_and_then(tmp_path: Path) -> None:
    case = asked(tmp_path, lambda _: said(), about=[None, None, None, PRICES], model={"price": None})
    assert (case.stopped, len(case.answers)) == ([], 1000)
    assert len(case.looked) == 4  # type: ignore[attr-defined]
    priced = [answer.cost_usd for answer in case.answers.values() if answer.cost_usd is not None]
    assert 800 <= len(priced) <= 900
