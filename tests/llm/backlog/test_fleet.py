"""Several endpoints share the rows: none waits for another, and what one fails with the others answer."""

import logging
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import BudgetSpentError, ConfigError, KeyRefusedError, ProviderUnavailableError
from pipeline.llm.replies import Failure, FailureKind
from pipeline.records import Status
from tests.llm.backlog.several import Several, answers, asked, between, enforcing
from tests.llm.scripted import Call, Sent, failed, said

UNREACHABLE = Failure(FailureKind.UNREACHABLE, "no connection")


def rows(count: int) -> list[str]:
    return [f"row {number}" for number in range(count)]


def dead(_: Call) -> Failure:
    return UNREACHABLE


def rpm(per_minute: int, **more: Any) -> dict[str, Any]:
    return {"limits": {"requests_per_minute": per_minute, **more}}


def sent_between(case: Several, name: str, begin: float, end: float) -> int:
    return sum(begin <= call.at < end for call in case.calls(name))


def test_limits_of_1_to_2_to_7_are_used_to_97_percent_of_their_sum(tmp_path: Path) -> None:
    rates = {"a": 600, "b": 1200, "c": 4200}
    case = asked(
        tmp_path, {name: enforcing(rate) for name, rate in rates.items()}, rows(6000),
        {name: rpm(rate) for name, rate in rates.items()},
    )  # fmt: skip
    assert sum(case.counts.values()) == len(case.answers) == 6000
    assert 6000 / (case.seconds / 60) >= 0.97 * sum(rates.values())
    for name, rate in rates.items():
        assert case.counts[name] == pytest.approx(6000 * rate / sum(rates.values()), rel=0.03)


def test_an_endpoint_that_is_ten_times_slower_takes_a_tenth_and_delays_nobody(tmp_path: Path) -> None:
    about = {name: {"limits": {"max_concurrency": 8}} for name in "abc"}
    case = asked(tmp_path, {"a": answers(0.1), "b": answers(0.1), "c": answers(1.0)}, rows(5000), about)
    assert case.seconds <= 1.03 * 5000 / (8 / 0.1 * 2.1) + 1.0
    assert case.counts["c"] == pytest.approx(5000 / 21, rel=0.15)


def test_one_that_dies_and_returns_has_its_share_back_within_ten_seconds(tmp_path: Path) -> None:
    rates = {"a": 600, "b": 600}
    behaves = {"a": answers(), "b": between(20.0, 80.0, dead, answers())}
    case = asked(tmp_path, behaves, rows(2000), {name: rpm(rate) for name, rate in rates.items()})
    assert (case.stopped, len(case.answers)) == ([], 2000)
    assert sent_between(case, "b", 10.0, 20.0) == pytest.approx(99, abs=3)
    # Ten silences to notice, what was in flight, and then a probe every few seconds.
    assert sent_between(case, "b", 20.0, 80.0) <= 10 + 2 + 60 / 5 + 1
    assert sent_between(case, "a", 30.0, 80.0) == pytest.approx(495, abs=10)
    assert sent_between(case, "b", 90.0, 100.0) == pytest.approx(99, abs=5)


@pytest.mark.parametrize("status", [500, 503])
def test_one_whose_server_fails_for_a_while_is_back_within_ten_seconds(tmp_path: Path, status: int) -> None:
    behaves = {"a": answers(), "b": between(20.0, 80.0, lambda _: failed(status), answers())}
    case = asked(tmp_path, behaves, rows(2200), {name: rpm(600) for name in "ab"})
    assert (case.stopped, len(case.answers)) == ([], 2200)
    assert sent_between(case, "b", 30.0, 80.0) <= 50
    assert sent_between(case, "b", 91.0, 101.0) == pytest.approx(99, abs=10)
    assert {answer.status for answer in case.answers.values()} == {None}


def test_one_that_was_never_there_costs_the_others_nothing(tmp_path: Path) -> None:
    case = asked(tmp_path, {"a": answers(), "b": dead}, rows(3000), {name: rpm(600) for name in "ab"})
    assert (case.stopped, case.closed) == ([], set())
    assert case.seconds <= 1.03 * 300
    assert case.counts["b"] <= 10 + 300 / 5 + 1


def test_one_that_answers_garbage_from_the_start_is_closed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    garbage = Sent(200, b"<html>welcome</html>")
    with caplog.at_level(logging.WARNING):
        case = asked(tmp_path, {"a": answers(), "b": lambda _: garbage}, rows(1000))
    assert (case.stopped, case.closed, len(case.answers)) == ([], {"b"}, 1000)
    assert case.counts["b"] <= 21
    assert {answer.status for answer in case.answers.values()} == {None}
    assert [text for text in caplog.messages if text.startswith("asked no more in this run")]


def test_one_that_answers_garbage_later_is_probed_only(tmp_path: Path) -> None:
    behaves = {"a": answers(), "b": between(10.0, 70.0, lambda _: Sent(200, b"{"), answers())}
    case = asked(tmp_path, behaves, rows(1800), {name: rpm(600) for name in "ab"})
    assert (case.stopped, case.closed, len(case.answers)) == ([], set(), 1800)
    assert {answer.status for answer in case.answers.values()} == {None}
    assert sent_between(case, "b", 25.0, 70.0) <= 45 / 5 + 1
    assert sent_between(case, "b", 80.0, 90.0) == pytest.approx(99, abs=5)


def test_one_whose_answers_have_to_be_asked_again_is_closed_and_others_give_the_second(
    tmp_path: Path,
) -> None:
    behaves = {"a": answers(), "b": lambda _: said("I cannot tell.")}
    about = {name: rpm(1200) for name in "ab"}
    case = asked(tmp_path, behaves, rows(2000), about, again=lambda answer: answer.text == "I cannot tell.")
    assert (case.stopped, case.closed, len(case.answers)) == ([], {"b"}, 2000)
    assert case.counts["b"] <= 40
    second = [answer for answer in case.answers.values() if answer.asks == 2]
    assert len(second) == case.counts["b"]


@pytest.mark.parametrize("status", [401, 403, 404])
def test_what_would_end_the_run_closes_the_endpoint_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    with caplog.at_level(logging.WARNING):
        case = asked(
            tmp_path, {"a": answers(), "b": lambda _: failed(status, "no such model or key")}, rows(500)
        )
    assert (case.stopped, case.closed, len(case.answers)) == ([], {"b"}, 500)
    assert case.counts["b"] <= 3
    assert (
        len([text for text in caplog.messages if "asked no more" in text and "1 of 2 endpoints" in text]) == 1
    )


def test_a_key_that_is_revoked_amid_the_run_closes_its_endpoint_only(tmp_path: Path) -> None:
    behaves = {"a": answers(), "b": between(10.0, 1e9, lambda _: failed(401, "bad key"), answers())}
    case = asked(tmp_path, behaves, rows(3000), {name: rpm(600) for name in "ab"})
    assert (case.stopped, case.closed, len(case.answers)) == ([], {"b"}, 3000)
    assert {answer.status for answer in case.answers.values()} == {None}
    assert sent_between(case, "b", 11.0, 1e9) <= 30


def test_the_last_one_ends_the_run_with_its_error(tmp_path: Path) -> None:
    behaves = {"a": lambda _: failed(404, "no such model"), "b": lambda _: failed(401, "bad key")}
    case = asked(tmp_path, behaves, rows(50))
    assert len(case.stopped) == 1
    assert isinstance(case.stopped[0], KeyRefusedError | ConfigError)
    assert case.answers == {}


def test_when_none_is_there_for_longer_than_an_outage_may_last_the_run_ends(tmp_path: Path) -> None:
    behaves = {name: between(10.0, 1e9, dead, answers()) for name in "ab"}
    case = asked(
        tmp_path, behaves, rows(100_000), {name: rpm(600) for name in "ab"}, limits={"max_outage": "5m"}
    )
    (error,) = case.stopped
    assert isinstance(error, ProviderUnavailableError)
    assert "none of 2 endpoints" in str(error)
    assert 300 <= case.seconds <= 350


def test_when_all_are_away_for_a_while_the_run_goes_on(tmp_path: Path) -> None:
    behaves = {name: between(10.0, 130.0, dead, answers()) for name in "ab"}
    case = asked(tmp_path, behaves, rows(1000), {name: rpm(600) for name in "ab"})
    assert (case.stopped, case.closed, len(case.answers)) == ([], set(), 1000)
    assert {answer.status for answer in case.answers.values()} == {None}


def test_the_budget_is_that_of_all_together(tmp_path: Path) -> None:
    case = asked(tmp_path, {"a": answers(), "b": answers()}, rows(1000), limits={"max_cost_usd": 0.05})
    assert isinstance(case.stopped[0], BudgetSpentError)
    spent = sum(answer.cost_usd or 0.0 for answer in case.answers.values())
    assert 0.045 <= spent <= 0.05
    assert case.fleet.figures.spent_usd == pytest.approx(spent)


def test_each_answer_costs_what_its_endpoint_charges(tmp_path: Path) -> None:
    about = {"a": {"price": {"input": 0, "output": 0}}, "b": {"price": {"input": 10, "output": 0}}}
    case = asked(tmp_path, {"a": answers(), "b": answers()}, rows(500), about)
    spent = sum(answer.cost_usd or 0.0 for answer in case.answers.values())
    assert spent == pytest.approx(case.counts["b"] * 100 * 10 / 1e6)


def test_a_row_that_is_refused_for_its_content_goes_to_nobody_else(tmp_path: Path) -> None:
    def behave(call: Call) -> Sent:
        too_long = "maximum context length is 10 tokens, you requested 20"
        return failed(400, too_long) if call.text == "row 7" else said()

    case = asked(tmp_path, {"a": behave, "b": behave}, rows(100))
    assert (case.stopped, case.closed) == ([], set())
    assert Counter(answer.status for answer in case.answers.values()) == {None: 99, Status.TOO_LONG: 1}
    assert sum(call.text == "row 7" for name in "ab" for call in case.calls(name)) == 1


def test_a_row_that_everybody_refuses_has_failed_and_closes_nobody(tmp_path: Path) -> None:
    def behave(call: Call) -> Sent:
        return failed(400, "we dislike it") if call.text == "row 7" else said()

    case = asked(tmp_path, {"a": behave, "b": behave}, rows(300))
    assert (case.stopped, case.closed, len(case.answers)) == ([], set(), 300)
    assert Counter(answer.status for answer in case.answers.values()) == {None: 299, Status.ERROR: 1}
    assert sum(call.text == "row 7" for name in "ab" for call in case.calls(name)) <= 4


def test_a_row_that_breaks_every_server_ends_too(tmp_path: Path) -> None:
    def behave(call: Call) -> Sent:
        return failed(500) if call.text == "row 7" else said()

    case = asked(tmp_path, {"a": behave, "b": behave}, rows(300))
    assert (case.stopped, case.closed, len(case.answers)) == ([], set(), 300)
    assert Counter(answer.status for answer in case.answers.values()) == {None: 299, Status.ERROR: 1}


def test_what_one_throttles_the_other_answers_at_once(tmp_path: Path) -> None:
    behaves = {"a": answers(), "b": lambda _: failed(429, "slow down", retry_after="3600")}
    case = asked(tmp_path, behaves, rows(600), {"a": rpm(600), "b": rpm(600)})
    assert (case.stopped, len(case.answers)) == ([], 600)
    assert case.seconds <= 62
    assert case.counts["b"] <= 40


def test_the_books_balance_over_garbled_replies_of_one_and_answers_of_another(tmp_path: Path) -> None:
    empty = said(None)
    case = asked(tmp_path, {"a": answers(), "b": lambda _: empty}, rows(500))
    counters = case.fleet.figures.counters
    assert case.tokens == counters.prompt_tokens == 100 * sum(case.counts.values())
    assert counters.requests == sum(case.counts.values())


def test_the_books_balance_where_the_reply_that_closes_an_endpoint_is_not_a_rows_first(
    tmp_path: Path,
) -> None:
    behaves = {"a": between(0.0, 60.0, dead, answers()), "b": lambda _: said(None)}
    case = asked(tmp_path, behaves, rows(5))
    assert (case.closed, len(case.answers)) == ({"b"}, 5)
    assert case.tokens == case.fleet.figures.counters.prompt_tokens


def test_a_row_that_is_held_where_nobody_is_any_more_is_answered_elsewhere(tmp_path: Path) -> None:
    refused: list[float] = []

    def refuses_once_and_dies(call: Call) -> Sent | Failure:
        if refused:
            return UNREACHABLE
        if call.at > 5.0:
            refused.append(call.at)
            return failed(400, "not now")
        return said()

    case = asked(
        tmp_path,
        {"a": answers(), "b": refuses_once_and_dies},
        rows(300),
        {name: rpm(600) for name in "ab"},
        within=3600.0,
    )
    assert (case.stopped, len(case.answers), len(refused)) == ([], 300, 1)
    assert {answer.status for answer in case.answers.values()} == {None}


def test_what_a_closed_endpoint_held_is_not_waited_for(tmp_path: Path) -> None:
    def dislikes_the_last(call: Call) -> Sent:
        return failed(400, "we dislike it") if call.text == "row 599" else said()

    behaves = {"a": dislikes_the_last, "b": between(10.0, 1e9, lambda _: failed(401, "bad key"), answers())}
    case = asked(tmp_path, behaves, rows(600), {name: rpm(600) for name in "ab"}, within=3600.0)
    assert (case.stopped, case.closed, len(case.answers)) == ([], {"b"}, 600)
    assert Counter(answer.status for answer in case.answers.values()) == {None: 599, Status.ERROR: 1}


def test_a_lower_priority_is_asked_only_when_the_first_are_full_or_away(tmp_path: Path) -> None:
    enough = asked(tmp_path, {"a": answers(), "spare": answers()}, rows(40), {"spare": {"priority": 1}})
    assert enough.counts["spare"] == 0
    full = asked(
        tmp_path,
        {"a": answers(), "spare": answers()},
        rows(600),
        {"a": rpm(600), "spare": {"priority": 1, **rpm(600)}},
    )
    assert [call for call in full.calls("spare") if call.at < 2.0] == []
    assert full.counts["spare"] == pytest.approx(290, abs=20)
    away = asked(
        tmp_path, {"a": dead, "spare": answers()}, rows(600), {"spare": {"priority": 1, **rpm(6000)}}
    )
    assert (away.stopped, len(away.answers)) == ([], 600)


def test_shares_are_told_by_name(tmp_path: Path) -> None:
    case = asked(tmp_path, {"a": answers(), "b": answers()}, rows(200), {"a": rpm(600), "b": rpm(1800)})
    assert case.fleet.figures.shares == case.counts
