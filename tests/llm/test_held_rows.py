"""A refusal of all rows, in whatever words and whenever it comes, stops the run and leaves the rows open; one row's own is final."""

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from pipeline.errors import ConfigError, KeyRefusedError, PipelineError, ProviderUnavailableError
from pipeline.llm.held_rows import CONTROL, FIRST_BOUND
from pipeline.llm.replies import Failure, FailureKind
from pipeline.records import Status
from tests.llm.scripted import Call, Case, Sent, failed, limits, said
from tests.llm.virtual_time import in_virtual_time

ROWS = [f"row {number}" for number in range(300)]
BUDGET = (422, "Budget has been exceeded! Current cost: 0.0601, Max budget: 0.06")
MODEL = (400, "Invalid model name passed in model=test-model")
UNKNOWN = (418, "no such luck")
CONTROLS = 20
"""Refused in the 20 to 30 seconds after which they end a run that has had replies, and a few rows sent meanwhile."""
FORMS = 8
"""In which the first request of a run is tried, the first one twice, when it is refused with no word about its form."""


def asked(
    folder: Path, behave: Callable[[Call], Sent | Failure], texts: list[str] = ROWS, **sections: object
) -> Case:
    """Ask about *texts* until all are answered or the run must stop."""

    async def main() -> Case:
        return await Case(limits(folder, **sections), behave).run(texts)

    return in_virtual_time(main())


def statuses(case: Case) -> Counter[Status | None]:
    return Counter(answer.status for answer in case.answers.values())


def controls(case: Case) -> int:
    return sum(call.text == CONTROL.prompt.text for call in case.endpoint.calls)


def after(count: int, answer: Sent) -> Callable[[Call], Sent]:
    """An endpoint that answers *count* requests, and then all others with *answer*."""
    left = iter(range(count))
    return lambda _: said() if next(left, None) is not None else answer


def number(call: Call) -> int:
    """The row's number; -1 for a control."""
    return int(call.text.split()[-1]) if call.text.startswith("row") else -1


@pytest.mark.parametrize(
    ("refusal", "error"),
    [(BUDGET, KeyRefusedError), (MODEL, ConfigError), (UNKNOWN, ProviderUnavailableError)],
)
@pytest.mark.parametrize("good", [60, 295, 299])
def test_a_refusal_of_all_rows_that_comes_late_stops_the_run_and_no_row_is_written_off(
    tmp_path: Path, refusal: tuple[int, str], error: type[PipelineError], good: int
) -> None:
    case = asked(tmp_path, after(good, failed(*refusal)))
    assert isinstance(case.stopped[0], error)
    assert refusal[1] in str(case.stopped[0])
    assert statuses(case) == {None: good}
    assert len(case.endpoint.calls) - good <= 64 + CONTROLS
    assert case.times[-1] < 40


@pytest.mark.parametrize(
    ("refusal", "error"), [(BUDGET, KeyRefusedError), (MODEL, ConfigError), ((400, "nope"), ConfigError)]
)
@pytest.mark.parametrize("rows", [1, 10, 300])
def test_a_refusal_of_all_rows_from_the_start_stops_jobs_of_any_size(
    tmp_path: Path, refusal: tuple[int, str], error: type[PipelineError], rows: int
) -> None:
    case = asked(tmp_path, lambda _: failed(*refusal), ROWS[:rows])
    assert isinstance(case.stopped[0], error)
    assert case.answers == {}
    assert len(case.endpoint.calls) <= 2 * (FIRST_BOUND + 1) + FORMS


@pytest.mark.parametrize(
    ("row", "rows", "most_controls"), [(0, 300, 0), (100, 300, 0), (299, 300, 2), (0, 1, 2)]
)
def test_a_poisoned_row_is_sent_twice_or_if_first_in_every_form_and_costs_that_row_alone(
    tmp_path: Path, row: int, rows: int, most_controls: int
) -> None:
    case = asked(tmp_path, lambda call: failed(*UNKNOWN) if number(call) == row else said(), ROWS[:rows])
    assert case.stopped == []
    assert statuses(case) == Counter({None: rows - 1, Status.ERROR: 1})
    assert case.of(ROWS[row]).attempts == (2 if row else 2 + FORMS)  # and once after a reply to another
    assert controls(case) == most_controls  # only where nothing is asked after it that could tell


def test_many_poisoned_rows_in_a_row_cost_few_controls_and_all_others_are_answered(tmp_path: Path) -> None:
    case = asked(tmp_path, lambda call: failed(*UNKNOWN) if 0 <= number(call) < 200 else said())
    assert case.stopped == []
    assert statuses(case) == {None: 100, Status.ERROR: 200}
    assert 1 <= controls(case) <= 5
    paid = sum(answer.prompt_tokens or 0 for answer in case.answers.values())
    assert paid == case.dispatcher.counters.prompt_tokens == 100 * (100 + controls(case))


def test_a_control_that_meets_an_outage_waits_for_its_end_and_then_decides(tmp_path: Path) -> None:
    def behave(call: Call) -> Sent | Failure:
        if number(call) >= 0:
            return failed(*UNKNOWN)
        return Failure(FailureKind.UNREACHABLE, "no connection") if call.at < 300 else said()

    case = asked(tmp_path, behave, ROWS[:30])
    assert case.stopped == []
    assert statuses(case) == {Status.ERROR: 30}


@pytest.mark.parametrize("status", [429, 503])
def test_one_backend_that_asks_for_a_long_wait_stops_no_run_before_all_others_are_answered(
    tmp_path: Path, status: int
) -> None:
    chance = Random(3)
    case = asked(
        tmp_path,
        lambda call: (
            failed(status, "come back", retry_after="7200")
            if chance.random() < 0.25 and number(call) > 0
            else said()
        ),
    )
    assert isinstance(case.stopped[0], ProviderUnavailableError)
    assert "asks to wait 7200 s" in str(case.stopped[0])
    texts = Counter(call.text for call in case.endpoint.calls)
    assert all(texts[row] == 1 for row in ROWS)  # none is undercut
    assert statuses(case)[None] == len(case.answers) > 200
    assert case.times[-1] < 60


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("good", [1, 60, 295])
def test_a_long_wait_that_all_are_asked_for_ends_the_run_after_few_requests(
    tmp_path: Path, status: int, good: int
) -> None:
    case = asked(tmp_path, after(good, failed(status, "come back", retry_after="7200")))
    assert isinstance(case.stopped[0], ProviderUnavailableError)
    assert "asks to wait 7200 s, longer than limits.max_outage (1800 s)" in str(case.stopped[0])
    assert statuses(case) == {None: good}
    assert len(case.endpoint.calls) - good <= 64 + FIRST_BOUND
    assert case.times[-1] < 60


@pytest.mark.parametrize(
    ("status", "message"), [(404, "no page"), (402, "no credits"), (307, "elsewhere"), (403, "no")]
)
def test_one_reply_that_would_end_the_run_is_sent_again_once_there_was_a_success(
    tmp_path: Path, status: int, message: str
) -> None:
    once = iter([failed(status, message)])
    case = asked(tmp_path, lambda call: next(once, said()) if number(call) == 200 else said())
    assert case.stopped == []
    assert statuses(case) == {None: 300}


@pytest.mark.parametrize(
    ("status", "message"),
    [(404, "no page"), (402, "no credits"), (307, "elsewhere"), (401, "no"), (403, "bad key")],
)
def test_a_moment_in_which_all_in_flight_are_refused_costs_no_run_and_each_of_them_one_request(
    tmp_path: Path, status: int, message: str
) -> None:
    rows = [f"row {number}" for number in range(3000)]
    case = asked(tmp_path, lambda call: failed(status, message) if 2.0 <= call.at < 2.1 else said(), rows)
    assert case.stopped == []
    assert statuses(case) == {None: 3000}
    assert len(case.endpoint.calls) - controls(case) == 3000 + 64
    assert controls(case) <= 2


@pytest.mark.parametrize(
    ("status", "error"), [(404, ConfigError), (402, KeyRefusedError), (307, ConfigError)]
)
def test_nothing_but_them_for_half_a_minute_ends_the_run_and_the_rows_stay_open(
    tmp_path: Path, status: int, error: type[PipelineError]
) -> None:
    case = asked(tmp_path, after(200, failed(status, "no")))
    assert isinstance(case.stopped[0], error)
    assert statuses(case) == {None: 200}
    assert len(case.endpoint.calls) <= 200 + 64 + CONTROLS
    assert case.times[-1] < 40


@pytest.mark.parametrize("rows", [1000, 3000])
@pytest.mark.parametrize(
    ("status", "message"),
    [(401, "no key"), (403, "bad key"), (404, "no page"), (302, ""), (422, "?"), (402, "no credits")],
)
def test_seconds_in_which_everything_is_refused_cost_no_run_no_row_and_few_requests(
    tmp_path: Path, status: int, message: str, rows: int
) -> None:
    texts = [f"row {number}" for number in range(rows)]
    case = asked(tmp_path, lambda call: failed(status, message) if 1 <= call.at < 5 else said(), texts)
    assert case.stopped == []
    assert statuses(case) == {None: rows}
    assert len(case.endpoint.calls) <= rows + 64 + CONTROLS


def test_a_wait_that_a_refusal_tells_is_kept_by_rows_and_controls(tmp_path: Path) -> None:
    def behave(call: Call) -> Sent:
        return failed(401, "wait", retry_after="30") if 1 <= call.at < 29 else said()

    case = asked(tmp_path, behave, [f"row {number}" for number in range(1000)])
    assert case.stopped == []
    assert statuses(case) == {None: 1000}
    assert not [at for at in case.times if 1.5 < at < 30]
    assert all(call.at >= 30 for call in case.endpoint.calls if number(call) < 0)


def test_a_row_that_was_refused_before_the_first_reply_is_asked_again_after_it(tmp_path: Path) -> None:
    case = asked(tmp_path, lambda call: failed(418) if call.at < 2 else said())
    assert case.stopped == [] or case.times[-1] < 2  # told at once where nothing was ever answered
    first = iter(range(FORMS + 1))
    case = asked(
        tmp_path, lambda call: failed(418) if number(call) == 0 and next(first, None) is not None else said()
    )
    assert statuses(case) == {None: 300}


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.1, 0.3, 0.6])
@pytest.mark.parametrize("concurrency", [1, 64])
def test_a_refusal_at_random_in_unknown_words_costs_no_row(
    tmp_path: Path, share: float, concurrency: int
) -> None:
    chance = Random(7).random

    def behave(call: Call) -> Sent:
        busy = chance() < share and call.at > 0.15
        return failed(400, f"Servidor ocupado, volte mais tarde ({call.at})") if busy else said()

    case = asked(tmp_path, behave, limits={"max_concurrency": concurrency})
    assert case.stopped == []
    assert statuses(case) == {None: 300}
    assert case.dispatcher.counters.throttled > 0  # the pace and the rows' own back-off learn of it


def test_a_sentence_that_no_row_survives_costs_few_requests_a_row(tmp_path: Path) -> None:
    case = asked(tmp_path, lambda call: failed(400, "palavra feia") if number(call) % 5 == 1 else said())
    assert statuses(case) == {None: 240, Status.ERROR: 60}
    tries = Counter(call.text for call in case.endpoint.calls if number(call) % 5 == 1)
    assert max(tries.values()) <= 4
    assert sum(tries.values()) <= 3 * 60


@pytest.mark.parametrize("status", [404, 307, 403])
def test_a_row_that_a_gateway_always_sends_elsewhere_costs_that_row_alone(
    tmp_path: Path, status: int
) -> None:
    case = asked(tmp_path, lambda call: failed(status, "blocked") if number(call) == 299 else said(seconds=8))
    assert case.stopped == []
    assert statuses(case) == {None: 299, Status.ERROR: 1}


def test_rows_that_are_too_long_say_nothing_about_the_endpoint(tmp_path: Path) -> None:
    case = asked(tmp_path, lambda call: failed(400, "context length") if number(call) < 20 else said())
    assert case.stopped == []
    assert statuses(case) == {None: 280, Status.TOO_LONG: 20}
    assert len(case.endpoint.calls) == 300


@pytest.mark.parametrize("rows", [1, 3, 300])
def test_a_page_of_status_200_from_the_start_is_no_outage_but_a_wrong_url(tmp_path: Path, rows: int) -> None:
    case = asked(tmp_path, lambda _: Sent(200, b"<html>please log in</html>"), ROWS[:rows])
    assert isinstance(case.stopped[0], ConfigError)
    assert "model.base_url" in str(case.stopped[0])
    assert case.answers == {}
    assert len(case.endpoint.calls) <= 22
    assert case.times[-1] < 30


def test_a_gateway_that_answers_502_from_the_start_is_waited_for(tmp_path: Path) -> None:
    def behave(call: Call) -> Sent:
        if call.at > 600:
            return said()
        return Sent(200, b"<html>starting</html>") if int(call.at) % 3 == 0 else failed(502)

    case = asked(tmp_path, behave)
    assert case.stopped == []
    assert statuses(case) == {None: 300}


def test_a_drain_leaves_the_rows_that_are_held_open(tmp_path: Path) -> None:
    async def main() -> Case:
        case = Case(
            limits(tmp_path), lambda call: failed(*UNKNOWN) if number(call) >= 0 else said(seconds=1000)
        )
        await case.dispatcher.start()
        case.dispatcher.ask(CONTROL.prompt._replace(key=b"1" * 16, text="row 1"))
        await asyncio.sleep(10)
        assert controls(case) == 1
        await case.dispatcher.drain(5)
        return case

    case = in_virtual_time(main())
    assert (case.answers, case.stopped) == ({}, [])
