"""Rows whose calls always break, as behind a firewall that dislikes their text, cost themselves; outages cost no row."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from pipeline.errors import ProviderUnavailableError
from pipeline.llm.held_rows import CONTROL
from pipeline.llm.replies import Failure, FailureKind
from pipeline.records import Status
from tests.llm.scripted import Call, Case, Sent, failed, limits, said
from tests.llm.virtual_time import in_virtual_time

ROWS = [f"row {number}" for number in range(600)]
HALF_AN_HOUR = 1800.0
BROKEN = Failure(FailureKind.TRANSIENT, "the connection broke")
SILENT = pytest.param(
    Failure(FailureKind.TRANSIENT, "no reply", timed_out=True), id="silent", marks=pytest.mark.soak
)
BAD_GATEWAY = failed(502, "bad gateway")
PAGE = Sent(200, b"<html><title>Request Rejected</title></html>")
WAYS = [
    pytest.param(BROKEN, id="broken"),
    pytest.param(BAD_GATEWAY, id="502", marks=pytest.mark.slow),
    SILENT,
]


def asked(folder: Path, behave: Callable[[Call], Sent | Failure], texts: list[str]) -> Case:
    """Ask about *texts* until all are answered or the run must stop."""

    async def main() -> Case:
        return await Case(limits(folder), behave).run(texts)

    return in_virtual_time(main())


def number(call: Call) -> int:
    """The row's number; -1 for a control."""
    return int(call.text.split()[-1]) if call.text.startswith("row") else -1


def breaks(number: int) -> bool:
    return number % 40 == 19


def controls(case: Case) -> int:
    return sum(call.text == CONTROL.prompt.text for call in case.endpoint.calls)


@pytest.mark.parametrize("how", [*WAYS, pytest.param(PAGE, id="page")])
@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_some_rows_that_always_fail_cost_themselves_and_no_outage_is_told(
    tmp_path: Path, how: Sent | Failure, noise: float
) -> None:
    chance = Random(7)

    def behave(call: Call) -> Sent | Failure:
        return how if breaks(number(call)) else failed(500) if chance.random() < noise else said()

    case = asked(tmp_path, behave, ROWS)
    assert case.stopped == []
    assert Counter(answer.status for answer in case.answers.values()) == {None: 585, Status.ERROR: 15}
    assert all(case.of(text).status is Status.ERROR for n, text in enumerate(ROWS) if breaks(n))


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("count", [1, 15])
def test_a_run_that_has_only_such_rows_left_ends_and_the_table_is_whole(
    tmp_path: Path, how: Sent | Failure, count: int
) -> None:
    case = asked(tmp_path, lambda call: said() if number(call) < 0 else how, ROWS[:count])
    assert case.stopped == []
    assert Counter(answer.status for answer in case.answers.values()) == {Status.ERROR: count}
    assert 1 <= controls(case) <= 60


@pytest.mark.parametrize("good", [0, 300, 590])
@pytest.mark.parametrize("how", WAYS)
def test_outages_cost_no_row_however_often_they_come(tmp_path: Path, how: Sent | Failure, good: int) -> None:
    answered = 0

    def behave(call: Call) -> Sent | Failure:
        nonlocal answered
        if answered >= good and call.at % 700 < 600:
            return how
        answered += 1
        return said(seconds=3)

    case = asked(tmp_path, behave, ROWS)
    assert case.stopped == []
    assert Counter(answer.status for answer in case.answers.values()) == {None: 600}


@pytest.mark.parametrize("good", [0, 300, 599])
def test_an_outage_that_does_not_end_stops_the_run_and_fails_no_row(tmp_path: Path, good: int) -> None:
    left = iter(range(good))
    case = asked(tmp_path, lambda _: said() if next(left, None) is not None else BAD_GATEWAY, ROWS)
    assert isinstance(case.stopped[0], ProviderUnavailableError)
    assert Counter(answer.status for answer in case.answers.values()) == Counter({None: good} if good else {})
    assert case.times[-1] <= HALF_AN_HOUR + 200


def test_once_an_outage_lasts_only_the_control_probes_and_its_answer_lets_all_rows_go_on(
    tmp_path: Path,
) -> None:
    case = asked(tmp_path, lambda call: BROKEN if 2 <= call.at < 600 else said(seconds=1), ROWS)
    assert {number(call) for call in case.endpoint.calls if 100 <= call.at < 600} == {-1}
    assert case.stopped == []
    assert Counter(answer.status for answer in case.answers.values()) == {None: 600}
    assert case.times[-1] < 700
