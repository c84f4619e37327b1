"""Rates are enforced exactly and told as OpenAI tells them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.servers.simulator.rate_limits import Rates, format_go_duration
from pipeline.servers.simulator.service import Service
from pipeline.servers.simulator.settings import RateSettings, SimulatorSettings
from tests.faultserver.client import Got, chat


class Clock:
    """A clock that goes on when it is told to."""

    def __init__(self):
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def limited(clock: Clock, **settings: object) -> Service:
    return Service(SimulatorSettings(rates=RateSettings(**settings)), clock)


def ask(service: Service, text: str, **fields: object) -> Got:
    served = service.chat(chat(text, **fields))
    service.note(served)
    headers = {name.lower(): value for name, value in served.sent.headers}
    return Got(served.sent.status, headers, served.sent.body, "whole")


def test_a_window_lets_its_share_of_the_minute_through_and_no_more():
    clock = Clock()
    service = limited(clock, requests_per_minute=300)
    first = [ask(service, "x").status for _ in range(7)]
    clock.now += 0.4
    second = [ask(service, "x").status for _ in range(3)]
    clock.now += 60
    third = [ask(service, "x").status for _ in range(7)]
    assert first == [200] * 5 + [429] * 2
    assert second == [200] * 2 + [429]
    assert third == first


def test_a_429_says_exactly_how_long_to_wait():
    clock = Clock()
    service = limited(clock, requests_per_minute=60, window_seconds=1)
    ask(service, "x")
    clock.now += 0.25
    got = ask(service, "x")
    clock.now += 0.749
    early = ask(service, "x")
    clock.now += 0.001
    due = ask(service, "x")
    assert (got.headers["retry-after-ms"], got.headers["retry-after"]) == ("750", "1")
    assert got.json["error"] == {
        "message": "Rate limit reached on requests per min: Limit 60. Please try again in 750ms.",
        "type": "requests",
        "param": None,
        "code": "rate_limit_exceeded",
    }
    assert (early.status, due.status) == (429, 200)


def test_a_refused_request_is_not_billed_and_has_its_reason_in_the_log():
    service = limited(Clock(), requests_per_minute=60)
    ask(service, "x")
    ask(service, "x")
    log = service.log
    assert (log.requests, log.billed, log.repeats, log.reasons) == (2, 1, 0, {"rate limited": 1})


def test_tokens_count_as_the_larger_of_prompt_and_max_tokens():
    clock = Clock()
    service = limited(clock, tokens_per_minute=6000)
    got = ask(service, "x", max_tokens=40)
    assert got.headers["x-ratelimit-remaining-tokens"] == "60"
    got = ask(service, "x" * 200, max_tokens=10)
    assert got.headers["x-ratelimit-remaining-tokens"] == str(60 - got.json["usage"]["prompt_tokens"])


def test_a_prompt_larger_than_a_window_passes_and_leaves_a_debt():
    clock = Clock()
    service = limited(clock, tokens_per_minute=6000)
    assert ask(service, "x", max_tokens=300).status == 200
    got = ask(service, "x", max_tokens=100)
    assert (got.status, got.headers["retry-after-ms"]) == (429, "3000")
    clock.now += 3
    assert ask(service, "x", max_tokens=100).status == 200


def test_a_prompt_larger_than_a_minute_never_passes():
    service = limited(Clock(), tokens_per_minute=6000)
    got = ask(service, "x", max_tokens=6001)
    assert (got.status, "retry-after" in got.headers) == (429, False)
    assert "Request too large" in got.json["error"]["message"]


def test_right_answers_carry_the_six_headers():
    service = limited(Clock(), requests_per_minute=600, tokens_per_minute=60_000)
    got = ask(service, "x", max_tokens=100)
    told = {
        name.removeprefix("x-ratelimit-"): value for name, value in got.headers.items() if "ratelimit" in name
    }
    assert told == {
        "limit-requests": "600",
        "remaining-requests": "9",
        "reset-requests": "100ms",
        "limit-tokens": "60000",
        "remaining-tokens": "900",
        "reset-tokens": "100ms",
    }


@pytest.mark.parametrize(
    ("form", "names"), [("seconds", {"retry-after"}), ("ms", {"retry-after-ms"}), ("none", set())]
)
def test_the_wait_can_be_told_in_one_form_or_not_at_all(form, names):
    service = limited(Clock(), requests_per_minute=60, retry_after=form)
    ask(service, "x")
    got = ask(service, "x")
    assert {name for name in got.headers if name.startswith("retry")} == names


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0ms"), (-1, "0ms"), (0.012, "12ms"), (1, "1s"), (1.5, "1.5s"), (360, "6m0s"), (3600.5, "1h0m0.5s")],
)
def test_durations_are_written_as_go_writes_them(seconds, text):
    assert format_go_duration(seconds) == text


@given(
    per_minute=st.integers(1, 100_000),
    window=st.floats(0.1, 60),
    steps=st.lists(st.floats(0, 5), min_size=1, max_size=200),
)
def test_no_span_of_time_sees_more_than_one_window_and_the_rate(per_minute, window, steps):
    rates = Rates(RateSettings(requests_per_minute=per_minute, window_seconds=window), 0.0)
    now, passed = 0.0, []
    for step in steps:
        now += step
        passed += [now] * (rates.refusal(1, now) is None)
    burst = max(1.0, per_minute / 60 * window)
    for first, start in enumerate(passed):
        for count, stop in enumerate(passed[first:], 1):
            assert count <= burst + (stop - start) * per_minute / 60 + 1e-3
