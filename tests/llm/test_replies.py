"""The values that calls result in: usage adds up, and a window says how long to wait."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.llm.replies import MAX_WINDOW_SECONDS, NO_USAGE, Failure, FailureKind, Usage, Window

amounts = st.none() | st.floats(0, 1e9)


def test_usage_adds_up_and_what_neither_reports_stays_unknown() -> None:
    assert Usage(10, None, 2, 0.5).plus(Usage(5, 3, None, 0.25)) == Usage(15, 3, 2, 0.75)
    assert Usage(10).plus(NO_USAGE) == NO_USAGE.plus(Usage(10)) == Usage(10)


def test_throttles_timeouts_and_server_errors_that_may_pass_may_mean_load() -> None:
    assert Failure(FailureKind.THROTTLED, "429").may_mean_load
    assert Failure(FailureKind.TRANSIENT, "slow", timed_out=True).may_mean_load
    assert Failure(FailureKind.TRANSIENT, "503", status=503).may_mean_load
    assert not Failure(FailureKind.TRANSIENT, "cut off").may_mean_load
    assert not Failure(FailureKind.GARBLED, "no JSON", status=200).may_mean_load


@pytest.mark.parametrize(
    ("window", "seconds"),
    [
        (Window(remaining_requests=1, reset_requests=30), 0),
        (Window(remaining_requests=0, reset_requests=30), 30),
        (Window(remaining_requests=0, reset_requests=2, remaining_tokens=0, reset_tokens=3), 3),
        (Window(remaining_requests=0, reset_requests=2, remaining_tokens=5, reset_tokens=9), 2),
        (Window(remaining_requests=0, reset_requests=23 * 3600), MAX_WINDOW_SECONDS),
        (Window(remaining_requests=0), 0),
        (Window(reset_requests=30), 0),
    ],
)
def test_only_a_window_that_is_used_up_is_waited_for(window: Window, seconds: float) -> None:
    assert window.wait_seconds(None, None) == seconds


@given(st.builds(Window, amounts, amounts, amounts, amounts, amounts, amounts), amounts, amounts)
def test_a_window_is_never_waited_for_longer_than_a_minute(
    window: Window, requests_per_minute: float | None, tokens_per_minute: float | None
) -> None:
    assert 0 <= window.wait_seconds(requests_per_minute, tokens_per_minute) <= MAX_WINDOW_SECONDS


@pytest.mark.parametrize(("rate", "seconds"), [(59, 0), (60, 0), (61, 1), (None, 1)])
def test_an_empty_window_is_no_news_at_a_rate_that_the_endpoint_allows(
    rate: float | None, seconds: float
) -> None:
    window = Window(limit_requests=60, remaining_requests=0, reset_requests=1)
    assert window.wait_seconds(rate, None) == seconds
