"""Rows are asked, paced, retried, given up, billed and stopped; hours pass in virtual time."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from pipeline.errors import ConfigError, KeyRefusedError, LimitReachedError, ProviderUnavailableError
from pipeline.llm.replies import Failure, FailureKind
from pipeline.records import Status
from tests.llm.scripted import Behave, Call, Case, Sent, failed, limits, prompt, said
from tests.llm.virtual_time import in_virtual_time, now

ROWS = [f"row {number}" for number in range(300)]
COST = 100e-6 + 10e-6
"""US dollars of one reply."""
CONTROLS = 20
"""Refused in the 20 to 30 seconds after which they end a run that has had replies, and a few rows sent meanwhile."""


def asked(folder: Path, behave: Behave, texts: list[str] = ROWS, **sections: object) -> Case:
    """Ask about *texts* until all are answered or the run must stop."""

    async def main() -> Case:
        return await Case(limits(folder, **sections), behave).run(texts)

    return in_virtual_time(main())


def statuses(case: Case) -> Counter[Status | None]:
    return Counter(answer.status for answer in case.answers.values())


def test_every_row_is_asked_once_and_the_first_alone(tmp_path: Path) -> None:
    case = asked(tmp_path, lambda _: said())
    assert sorted(call.text for call in case.endpoint.calls) == sorted(ROWS)
    assert [at for at in case.times if at < 0.1] == case.times[:1]
    assert case.endpoint.most_in_flight == 64
    assert case.of("row 7").attempts == 1


def test_the_books_balance(tmp_path: Path) -> None:
    def behave(call: Call) -> Sent:
        return said(None) if len(call.text) == 6 and case_calls[call.text] < 2 else said()

    case_calls: Counter[str] = Counter()

    def counted(call: Call) -> Sent:
        case_calls[call.text] += 1
        return behave(call)

    case = asked(tmp_path, counted)
    counters = case.dispatcher.counters
    assert sum(answer.prompt_tokens or 0 for answer in case.answers.values()) == counters.prompt_tokens
    assert counters.prompt_tokens == 100 * len(case.endpoint.calls)
    assert counters.completion_tokens == 5 * len(case.endpoint.calls)
    assert sum(answer.attempts for answer in case.answers.values()) == counters.requests
    assert sum(answer.cost_usd or 0 for answer in case.answers.values()) == pytest.approx(
        case.dispatcher.budget.spent_usd
    )


def test_garbled_replies_that_were_billed_are_on_the_rows_bill(tmp_path: Path) -> None:
    replies = iter([said(None), said(choices=[]), said()])
    case = asked(tmp_path, lambda _: next(replies), ["row"])
    answer = case.of("row")
    assert (answer.prompt_tokens, answer.completion_tokens, answer.attempts) == (300, 15, 3)
    assert answer.cost_usd == pytest.approx(3 * COST)


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(("header", "value"), [("retry_after", "7"), ("retry_after_ms", "7000")])
def test_a_retry_after_is_never_undercut_by_that_row_and_the_others_go_on(
    tmp_path: Path, status: int, header: str, value: str
) -> None:
    throttled: dict[str, float] = {}

    def behave(call: Call) -> Sent:
        if call.text in {"row 100", "row 200"} and call.text not in throttled:
            throttled[call.text] = call.at
            return failed(status, "rate limit", **{header: value})
        return said()

    case = asked(tmp_path, behave, limits={"requests_per_minute": 600})
    for text, at in throttled.items():
        (again,) = [call.at for call in case.endpoint.calls if call.text == text and call.at > at]
        assert 7.1 <= again - at < 10
        assert sum(at < other < at + 7 for other in case.times) > 40
    assert statuses(case) == {None: 300}


def test_in_a_storm_a_retry_after_is_undercut_by_nobody(tmp_path: Path) -> None:
    told: list[float] = []

    def behave(call: Call) -> Sent:
        if 1 < call.at < 30:
            told.append(call.at)
            return failed(429, "rate limit", retry_after="7")
        return said()

    rows = [f"row {number}" for number in range(2000)]
    case = asked(tmp_path, behave, rows)
    begun = told[0] + 1.5  # by then everybody knows
    probes = [at for at in case.times if begun < at < 38]
    assert len(probes) >= 4
    for at in probes[:-1]:
        if at < 30:
            assert [later for later in case.times if at < later < at + 7.1] == []
    assert statuses(case) == {None: 2000}


def test_a_throttle_costs_no_row_an_attempt(tmp_path: Path) -> None:
    case = asked(tmp_path, lambda call: failed(429) if call.at < 1000 else said(), ROWS[:5])
    assert statuses(case) == {None: 5}
    assert case.dispatcher.counters.throttled > 20
    assert max(b - a for a, b in zip(case.times, case.times[1:], strict=False)) <= 61


def test_throttles_for_longer_than_max_outage_end_the_run(tmp_path: Path) -> None:
    case = asked(tmp_path, lambda _: failed(429), ROWS[:5], limits={"max_outage": "10m"})
    assert isinstance(case.stopped[0], ProviderUnavailableError)
    assert 600 < case.times[-1] < 661


def test_many_throttles_at_once_stop_everybody_until_one_request_shows_that_it_is_over(
    tmp_path: Path,
) -> None:
    case = asked(tmp_path, lambda call: failed(429) if 0.65 < call.at < 1.5 else said())
    assert case.dispatcher.counters.throttled <= 64 + 5
    during = [at for at in case.times if 1.0 < at < 1.5]
    assert len(during) <= 3
    assert statuses(case) == {None: 300}
    assert case.times[-1] < 10


def test_a_used_up_window_is_waited_out_before_anything_is_refused(tmp_path: Path) -> None:
    def behave(call: Call) -> Sent:
        left = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "30s"}
        return said(headers=left if call.text == "row 0" else {})

    case = asked(tmp_path, behave, ROWS[:5])
    assert case.times[0] == pytest.approx(0, abs=1e-6)
    assert min(case.times[1:]) >= 30.1


def test_the_configured_rate_is_kept(tmp_path: Path) -> None:
    case = asked(tmp_path, lambda _: said(), limits={"requests_per_minute": 600})
    assert all(sum(start <= at < start + 1 for at in case.times) <= 12 for start in case.times)
    assert case.times[-1] == pytest.approx(30, rel=0.03)


def test_thirty_percent_of_failures_cost_time_and_no_row(tmp_path: Path) -> None:
    numbers = iter(range(10**6))
    case = asked(tmp_path, lambda _: failed(500) if next(numbers) % 10 < 3 else said())
    assert statuses(case) == {None: 300}
    assert len(case.endpoint.calls) <= 450


@pytest.mark.slow
def test_a_row_that_always_fails_is_given_up_after_twenty_attempts(tmp_path: Path) -> None:
    rows = [f"row {number}" for number in range(2000)]
    case = asked(
        tmp_path,
        lambda call: failed(500) if call.text == "row 5" else said(),
        rows,
        limits={"requests_per_minute": 60},
    )
    answer = case.of("row 5")
    assert (answer.status, answer.attempts) == (Status.ERROR, 20)
    assert "after 20 attempts: 500: it failed" in (answer.error or "")
    assert statuses(case) == {None: 1999, Status.ERROR: 1}


def test_a_row_that_is_always_garbled_is_given_up_after_four(tmp_path: Path) -> None:
    case = asked(tmp_path, lambda call: said(None) if call.text == "row 5" else said())
    answer = case.of("row 5")
    assert (answer.status, answer.attempts, answer.prompt_tokens) == (
        Status.ERROR,
        4,
        500,
    )  # the control that showed the row to be at fault is on its bill


def test_a_row_that_cannot_be_answered_is_final_at_once(tmp_path: Path) -> None:
    case = asked(
        tmp_path, lambda call: failed(400, "context length") if call.text == "row 5" else said(), ROWS
    )
    assert (case.of("row 5").status, case.of("row 5").attempts) == (Status.TOO_LONG, 1)


@pytest.mark.parametrize("row", ["row 5", ROWS[-1]])
def test_a_row_that_a_gateway_forbids_costs_that_row_alone(tmp_path: Path, row: str) -> None:
    case = asked(tmp_path, lambda call: failed(403, "no permission") if call.text == row else said())
    assert case.stopped == []
    assert (case.of(row).status, case.of(row).attempts) == (Status.ERROR, 3)
    assert statuses(case) == {None: 299, Status.ERROR: 1}


@pytest.mark.parametrize("status", [401, 403])
def test_a_key_that_is_refused_in_the_middle_ends_the_run_within_half_a_minute(
    tmp_path: Path, status: int
) -> None:
    case = asked(
        tmp_path, lambda call: failed(status, "the key may not") if call.at > 0.75 else said(), ROWS * 1
    )
    assert isinstance(case.stopped[0], KeyRefusedError)
    refused = [at for at in case.times if at > 0.75]
    assert 20 <= refused[-1] - refused[0] < 30
    assert len(refused) <= 64 + CONTROLS
    assert case.endpoint.refreshed > 0


def test_a_key_that_is_refused_for_a_moment_does_not_end_the_run(tmp_path: Path) -> None:
    numbers = iter(range(10**6))
    case = asked(tmp_path, lambda _: failed(401) if next(numbers) < 2 else said(), ROWS[:20])
    assert (case.stopped, statuses(case)) == ([], {None: 20})
    assert case.endpoint.refreshed == 2  # it may have been rotated


def test_an_outage_that_is_longer_than_a_row_is_tried_costs_no_row(tmp_path: Path) -> None:
    def behave(call: Call) -> Sent | Failure:
        if 1 < call.at < 5400:
            return Failure(FailureKind.UNREACHABLE, "no connection")
        return failed(500) if 5400 <= call.at < 5440 and len(call.text) == 6 else said()

    case = asked(tmp_path, behave, limits={"max_outage": "2h", "requests_per_minute": 600})
    assert statuses(case) == {None: 300}
    assert sum(100 < at < 5400 for at in case.times) <= 5300 / 30 + 2


def test_an_outage_longer_than_max_outage_ends_the_run(tmp_path: Path) -> None:
    case = asked(tmp_path, lambda _: Failure(FailureKind.UNREACHABLE, "no connection"))
    assert isinstance(case.stopped[0], ProviderUnavailableError)
    assert 1800 < case.times[-1] < 1840
    assert case.answers == {}


def test_timeouts_are_asked_again_and_are_a_sign_of_congestion(tmp_path: Path) -> None:
    seen: set[str] = set()

    def behave(call: Call) -> Sent | Failure:
        first = call.text not in seen
        seen.add(call.text)
        return (
            Failure(FailureKind.TRANSIENT, "slow", timed_out=True)
            if first and call.text == "row 200"
            else said()
        )

    case = asked(tmp_path, behave)
    assert statuses(case) == {None: 300}
    assert case.of("row 200").attempts == 2


def refuses(*supported: tuple[str, bool]) -> Behave:
    """An endpoint that accepts only some forms and says why, as OpenAI does."""

    def behave(call: Call) -> Sent:
        mode, logprobs = call.request_format
        if logprobs and not any(with_logprobs for _, with_logprobs in supported):
            return failed(400, "You are not allowed to request logprobs")
        return (
            said()
            if call.request_format in supported
            else failed(400, f"response_format {mode} is not supported")
        )

    return behave


@pytest.mark.parametrize(
    ("supported", "tried"),
    [
        (("json_schema", True), 1),
        (("json_schema", False), 2),
        (("json_object", True), 2),
        (("json_object", False), 3),
        (("text", True), 3),
        (("text", False), 4),
    ],
)
def test_an_endpoint_is_asked_in_the_strictest_form_that_it_accepts(
    tmp_path: Path, supported: tuple[str, bool], tried: int
) -> None:
    case = asked(tmp_path, refuses(supported), ROWS[:20])
    assert len(case.endpoint.calls) == 20 + tried - 1
    assert {call.request_format for call in case.endpoint.calls[tried - 1 :]} == {supported}
    assert statuses(case) == {None: 20}


def test_an_endpoint_that_accepts_no_form_that_the_config_allows_ends_the_run(tmp_path: Path) -> None:
    model = {"structured_output": "json_schema", "logprobs": False}
    case = asked(tmp_path, refuses(("text", False)), model=model)
    assert isinstance(case.stopped[0], ConfigError)
    assert "set model.structured_output" in str(case.stopped[0])
    assert len(case.endpoint.calls) == 1


def test_a_form_that_worked_is_kept_and_a_row_that_is_refused_in_it_is_asked_in_a_weaker_one(
    tmp_path: Path,
) -> None:
    def behave(call: Call) -> Sent:
        strict = call.text == "row 5" and call.request_format[0] == "json_schema"
        return failed(400, "response_format json_schema is not supported") if strict else said()

    case = asked(tmp_path, behave)
    assert statuses(case) == {None: 300}
    own = [call.request_format[0] for call in case.endpoint.calls if call.text == "row 5"]
    assert own == ["json_schema"] * 3 + ["json_object"]
    others = {call.request_format for call in case.endpoint.calls if call.text != "row 5"}
    assert others == {("json_schema", True)}


def test_a_row_that_is_refused_in_every_form_has_failed_and_no_other(tmp_path: Path) -> None:
    case = asked(tmp_path, lambda call: failed(400, "response_format") if call.text == "row 5" else said())
    assert statuses(case) == {None: 299, Status.ERROR: 1}


def second_ask(folder: Path, behave: Behave) -> Case:
    """Ask about a row, and once more because the first reply was no label."""

    async def main() -> Case:
        first = await Case(limits(folder), lambda _: said("nonsense")).run(["row"])
        again = Case(limits(folder), behave)
        await again.dispatcher.start()
        again.dispatcher.ask(prompt("row"), first.of("row"))
        await asyncio.sleep(10)
        await again.dispatcher.drain(0)
        return again

    return in_virtual_time(main())


def test_a_second_ask_is_stricter_with_twice_the_tokens_and_both_are_billed(tmp_path: Path) -> None:
    case = second_ask(tmp_path, lambda _: said())
    (call,) = case.endpoint.calls
    assert call.body["max_tokens"] == 64
    assert "not usable" in call.body["messages"][1]["content"]
    answer = case.of("row")
    assert (answer.asks, answer.attempts, answer.prompt_tokens, answer.completion_tokens) == (2, 2, 200, 10)
    assert answer.cost_usd == pytest.approx(2 * COST)


def test_if_the_second_ask_fails_the_first_answer_stays(tmp_path: Path) -> None:
    case = second_ask(tmp_path, lambda call: failed(400) if call.text == "row" else said())
    answer = case.of("row")
    assert (answer.text, answer.status, answer.asks, answer.attempts) == ("nonsense", None, 2, 11)
    # The controls, before its last call and after it, that showed the row to be at fault are on its bill.
    assert (answer.prompt_tokens, answer.cost_usd) == (300, pytest.approx(3 * COST))
    assert case.dispatcher.counters.prompt_tokens == 200


def test_a_drain_takes_what_is_in_flight_and_sends_nothing_more(tmp_path: Path) -> None:
    async def main() -> None:
        case = Case(limits(tmp_path), lambda call: said(seconds=5 if call.at > 0.55 else 0.1))
        work = asyncio.create_task(case.run(ROWS))
        await asyncio.sleep(2)
        sent, answered, in_flight = len(case.times), len(case.answers), case.endpoint.in_flight
        assert in_flight > 10
        await case.dispatcher.drain(25)
        assert now() < 10
        assert (len(case.times), len(case.answers)) == (sent, answered + in_flight)
        await asyncio.sleep(1000)
        assert len(case.times) == sent
        work.cancel()

    in_virtual_time(main())


def test_a_drain_gives_up_what_takes_too_long_and_retries_nothing(tmp_path: Path) -> None:
    def behave(call: Call) -> Sent:
        if call.at < 0.55:
            return said()
        return said(seconds=10_000) if int(call.text[4:]) % 2 else failed(500, seconds=1)

    async def main() -> None:
        case = Case(limits(tmp_path), behave)
        work = asyncio.create_task(case.run(ROWS))
        await asyncio.sleep(1)
        sent = len(case.times)
        await case.dispatcher.drain(25)
        assert now() == pytest.approx(26, abs=0.1)
        await asyncio.sleep(10_000)
        assert (len(case.times), case.stopped) == (sent, [])
        work.cancel()

    in_virtual_time(main())


def test_a_budget_ends_the_run_before_it_is_exceeded(tmp_path: Path) -> None:
    case = asked(tmp_path, lambda _: said(), limits={"max_cost_usd": 100 * COST})
    assert isinstance(case.stopped[0], LimitReachedError)
    assert case.dispatcher.budget.spent_usd <= 100 * COST
    assert len(case.endpoint.calls) <= 100


def test_a_reply_without_usage_does_not_end_a_run_with_a_budget(tmp_path: Path) -> None:
    case = asked(
        tmp_path,
        lambda call: said(usage=None) if call.text == "row 5" else said(),
        limits={"max_cost_usd": 1},
    )
    assert (case.stopped, statuses(case)) == ([], {None: 300})
    assert case.of("row 5").cost_usd is None
    assert case.dispatcher.budget.spent_usd > 299 * COST


def test_an_unknown_model_ends_the_run_after_one_request(tmp_path: Path) -> None:
    case = asked(tmp_path, lambda _: failed(404, "The model does not exist"))
    assert isinstance(case.stopped[0], ConfigError)
    assert len(case.endpoint.calls) == 1


def test_quota_that_runs_out_stops_all_workers_before_any_sends_again(tmp_path: Path) -> None:
    def behave(call: Call) -> Sent:
        return failed(402, "no credits", seconds=0.01) if call.at > 1 else said()

    rows = [f"row {number}" for number in range(3000)]
    case = asked(tmp_path, behave, rows)
    assert isinstance(case.stopped[0], KeyRefusedError)
    assert sum(at > 1 for at in case.times) <= 64 + CONTROLS


def test_a_bug_in_a_worker_ends_the_run_loudly(tmp_path: Path) -> None:
    def behave(_: Call) -> Sent:
        raise ZeroDivisionError

    assert isinstance(asked(tmp_path, behave).stopped[0], ZeroDivisionError)
