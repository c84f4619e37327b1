"""What headers say about waiting is taken as they mean it; nonsense is nothing."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from pipeline.llm.protocol.headers import MAX_RETRY_AFTER, go_duration, retry_after, window
from pipeline.llm.replies import MAX_WINDOW_SECONDS, Window

NOW = "Wed, 21 Oct 2026 07:28:00 GMT"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("12ms", 0.012),
        ("1s", 1),
        ("6m0s", 360),
        ("1h2m3.5s", 3723.5),
        ("1m30s", 90),
        ("250µs", 0.00025),
        ("250us", 0.00025),
        ("5ns", 5e-9),
        ("0s", 0),
        ("0", 0),
        ("17", 17),
        ("0.25", 0.25),
        ("", None),
        ("-1", None),
        ("-1s", None),
        ("None", None),
        ("soon", None),
        ("1 s", None),
        ("1s later", None),
        ("nan", None),
        ("inf", None),
    ],
)
def test_a_go_duration_is_seconds(text: str, seconds: float | None) -> None:
    assert go_duration(text) == pytest.approx(seconds)


@given(st.integers(0, 99), st.integers(0, 59), st.integers(0, 59), st.integers(0, 999))
def test_a_go_duration_is_read_as_it_was_written(hours: int, minutes: int, seconds: int, millis: int) -> None:
    told = f"{hours}h{minutes}m{seconds}.{millis:03d}s"
    assert go_duration(told) == pytest.approx(hours * 3600 + minutes * 60 + seconds + millis / 1000)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "2"}, 2),
        ({"Retry-After": "0"}, 0),
        ({"Retry-After": "0.5"}, 0.5),
        ({"Retry-After": " 7 "}, 7),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after-ms": "1500", "Retry-After": "2"}, 1.5),
        ({"retry-after-ms": "soon", "Retry-After": "2"}, 2),
        ({"Retry-After": "Wed, 21 Oct 2026 07:28:30 GMT", "Date": NOW}, 30),
        ({"Retry-After": "Wed, 21 Oct 2026 09:28:30 +0200", "Date": NOW}, 30),
        ({"Retry-After": "Wed, 21 Oct 2026 07:27:00 GMT", "Date": NOW}, None),
        ({"Retry-After": "Wed, 21 Oct 2026 07:28:30 GMT"}, None),
        ({"Retry-After": "Wed, 21 Oct 2026 07:28:30", "Date": NOW}, None),
        ({"Retry-After": "Wed, 21 Oct 99999999999999999999 07:28:00 GMT", "Date": NOW}, None),
        ({"Retry-After": "-1"}, None),
        ({"Retry-After": "1e9"}, None),
        ({"Retry-After": "86400"}, MAX_RETRY_AFTER),
        ({"Retry-After": "86401"}, None),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "None"}, None),
    ],
)
def test_retry_after_is_seconds(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(CIMultiDict(headers)) == seconds


@given(st.dictionaries(st.sampled_from(["retry-after", "retry-after-ms", "date"]), st.text()))
def test_retry_after_is_a_bounded_number_or_nothing_whatever_the_server_sends(
    headers: dict[str, str],
) -> None:
    seconds = retry_after(headers)
    assert seconds is None or 0 <= seconds <= MAX_RETRY_AFTER


@given(
    st.dictionaries(
        st.sampled_from(
            [f"x-ratelimit-{what}-{of}" for what in ("remaining", "reset") for of in ("requests", "tokens")]
        ),
        st.text() | st.floats().map(str) | st.integers().map(lambda n: f"{n}s"),
    )
)
def test_a_window_is_never_waited_for_longer_than_a_minute(headers: dict[str, str]) -> None:
    found = window(headers)
    assert found is None or 0 <= found.wait_seconds(None, None) <= MAX_WINDOW_SECONDS
    assert found is None or math.isfinite(found.wait_seconds(None, None))


def test_openais_headers_are_read() -> None:
    headers = {
        "x-ratelimit-limit-requests": "500",
        "x-ratelimit-remaining-requests": "499",
        "x-ratelimit-reset-requests": "120ms",
        "x-ratelimit-remaining-tokens": "0",
        "x-ratelimit-reset-tokens": "6m0s",
    }
    assert window(headers) == Window(500, None, 499, 0.12, 0, 360)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"remaining-requests": "1", "reset-requests": "30s"}, 0),
        ({"remaining-requests": "0", "reset-requests": "30s"}, 30),
        (
            {
                "remaining-requests": "0",
                "reset-requests": "2s",
                "remaining-tokens": "0",
                "reset-tokens": "3s",
            },
            3,
        ),
        (
            {
                "remaining-requests": "0",
                "reset-requests": "2s",
                "remaining-tokens": "5",
                "reset-tokens": "9s",
            },
            2,
        ),
        ({"remaining-requests": "0", "reset-requests": "23h"}, 60),
        ({"remaining-requests": "0", "reset-requests": "-1"}, 0),
        ({"remaining-requests": "0"}, 0),
        ({"remaining-requests": "-1", "reset-requests": "30s"}, 0),
        ({"remaining-tokens": "None", "reset-tokens": "30s"}, 0),
    ],
)
def test_only_a_window_that_is_used_up_is_waited_for(headers: dict[str, str], seconds: float) -> None:
    found = window({f"x-ratelimit-{name}": value for name, value in headers.items()})
    assert found is not None
    assert found.wait_seconds(None, None) == seconds


@pytest.mark.parametrize(("ours", "seconds"), [(59, 0), (60, 0), (61, 1), (None, 1)])
def test_an_empty_window_is_no_news_to_whoever_keeps_to_the_rate(ours: float | None, seconds: float) -> None:
    told = {"limit-requests": "60", "remaining-requests": "0", "reset-requests": "1s"}
    found = window({f"x-ratelimit-{name}": value for name, value in told.items()})
    assert found is not None
    assert found.wait_seconds(ours, None) == seconds


def test_silence_about_the_limits_is_no_window() -> None:
    assert window({"x-ratelimit-limit-requests": "500"}) is None
