"""Every reply that was billed is in a record, whatever it was good for and whenever the run ends."""

import asyncio
from collections.abc import Callable
from math import inf
from pathlib import Path
from random import Random

import pytest

from pipeline.llm.held_rows import CONTROL
from pipeline.llm.replies import Failure, FailureKind, Usage
from pipeline.llm.request import bill_key
from tests.answers import answer
from tests.llm.scripted import Call, Case, Sent, failed, limits, prompt, said
from tests.llm.test_forms import thoughts
from tests.llm.virtual_time import in_virtual_time

ROWS = [f"row {number}" for number in range(60)]
EMPTY = said(choices=[])
"""Billed, and no answer."""

Behave = Callable[[Call], Sent | Failure]


def stopped(folder: Path, behave: Behave, *, after: float, rows: list[str] = ROWS) -> Case:
    """Ask about *rows* and stop after so many seconds; inf is once all are answered."""

    async def main() -> Case:
        case = Case(limits(folder), behave)
        await case.dispatcher.start()
        for row in rows:
            case.dispatcher.ask(prompt(row))
        while after == inf and len(case.answers) < len(rows):  # noqa: ASYNC110 - the time is virtual
            await asyncio.sleep(1)
        await asyncio.sleep(0 if after == inf else after)
        await case.dispatcher.drain(0)
        return case

    return in_virtual_time(main())


def recorded(case: Case) -> tuple[int, int]:
    """The tokens in what was delivered."""
    records = [*case.answers.values(), *case.bills.values()]
    return sum(each.prompt_tokens or 0 for each in records), sum(
        each.completion_tokens or 0 for each in records
    )


def counted(case: Case) -> tuple[int, int]:
    return case.dispatcher.counters.prompt_tokens, case.dispatcher.counters.completion_tokens


@pytest.mark.parametrize("after", [0.05, 0.25, 0.7, 1.5, 4.0, inf])
@pytest.mark.parametrize("seed", range(4))
def test_the_records_are_the_bill_at_any_moment(tmp_path: Path, seed: int, after: float) -> None:
    chance = Random(seed)

    def behave(call: Call) -> Sent:
        return chance.choices(
            [
                said(),
                EMPTY,
                thoughts(call, needed=100),
                failed(418, "no such luck"),
                failed(429),
                failed(500),
            ],
            [4, 3, 3, 1, 1, 1],
        )[0]

    case = stopped(tmp_path, behave, after=after)
    assert recorded(case) == counted(case)
    if after == inf:
        assert len(case.answers) == len(ROWS)
        assert {each.prompt_tokens for each in case.bills.values()} == {None}


def test_an_answer_at_the_first_try_has_no_bill_beside_it(tmp_path: Path) -> None:
    assert not stopped(tmp_path, lambda _: said(), after=60).bills


def test_what_rows_and_controls_have_cost_is_kept_when_a_control_ends_the_run(tmp_path: Path) -> None:
    empty_once: set[str] = set()

    def behave(call: Call) -> Sent:
        if call.text in empty_once:
            return failed(418, "no such luck")
        empty_once.add(call.text)
        return EMPTY

    case = stopped(tmp_path, behave, after=600, rows=["row 1", "row 2"])
    assert CONTROL.prompt.text in empty_once
    assert case.stopped
    assert not case.answers
    assert recorded(case) == counted(case) == (300, 15)


@pytest.mark.parametrize("after", [5.0, 20.0, 60.0])
def test_what_an_answered_control_has_cost_is_kept_when_the_run_is_stopped(
    tmp_path: Path, after: float
) -> None:
    broken = Failure(FailureKind.TRANSIENT, "the connection broke")
    case = stopped(
        tmp_path,
        lambda call: said() if call.text == CONTROL.prompt.text else broken,
        after=after,
        rows=ROWS[:1],
    )
    assert counted(case)[0] >= 100
    assert recorded(case) == counted(case)


def test_a_control_that_is_answered_badly_is_on_one_bill_once(tmp_path: Path) -> None:
    def behave(call: Call) -> Sent:
        if call.text == CONTROL.prompt.text:
            return EMPTY
        return said() if call.text == "row 0" else failed(418, "no such luck")

    case = stopped(tmp_path, behave, after=600, rows=["row 0", "row 1"])
    assert len(case.answers) == 2
    assert recorded(case) == counted(case)
    assert counted(case)[0] >= 200
    assert {each.prompt_tokens for each in case.bills.values()} == {None}


def test_an_answer_holds_what_an_earlier_execution_was_billed_for(tmp_path: Path) -> None:
    owed = answer(asks=0, prompt_tokens=70, cached_tokens=0, completion_tokens=7, cost_usd=0.5)

    async def main() -> Case:
        case = Case(limits(tmp_path), lambda _: said())
        await case.dispatcher.start()
        case.dispatcher.ask(prompt("row"), None, owed)
        await asyncio.sleep(1)
        await case.dispatcher.drain(0)
        return case

    case = in_virtual_time(main())
    found = case.of("row")
    assert (found.prompt_tokens, found.completion_tokens) == (170, 12)
    assert found.cost_usd == pytest.approx(0.5 + 110e-6)
    settled = case.bills[bill_key(found.key, "run")]
    assert Usage(*settled[7:11]) == Usage()


def test_a_bill_has_a_key_of_its_own_for_each_prompt_and_run() -> None:
    keys = {bill_key(key, run) for key in (b"a", b"b") for run in ("1", "2")}
    assert len(keys - {b"a", b"b"}) == 4
