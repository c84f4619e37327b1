"""Headers about waiting are read in all their formats; nonsense counts as nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from pipeline.llm.protocol.headers import MAX_RETRY_AFTER, parse_go_duration, retry_after, spoken_wait, window
from pipeline.llm.replies import Window

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
    assert parse_go_duration(text) == pytest.approx(seconds)


@given(st.integers(0, 99), st.integers(0, 59), st.integers(0, 59), st.integers(0, 999))
def test_a_go_duration_is_read_as_it_was_written(hours: int, minutes: int, seconds: int, millis: int) -> None:
    text = f"{hours}h{minutes}m{seconds}.{millis:03d}s"
    assert parse_go_duration(text) == pytest.approx(hours * 3600 + minutes * 60 + seconds + millis / 1000)


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


def test_openais_headers_are_read() -> None:
    headers = {
        "x-ratelimit-limit-requests": "500",
        "x-ratelimit-remaining-requests": "499",
        "x-ratelimit-reset-requests": "120ms",
        "x-ratelimit-remaining-tokens": "0",
        "x-ratelimit-reset-tokens": "6m0s",
    }
    assert window(headers) == Window(500, None, 499, 0.12, 0, 360)


def test_values_that_are_no_counts_or_durations_are_left_out() -> None:
    headers = {
        "x-ratelimit-limit-requests": "-1",
        "x-ratelimit-remaining-requests": "None",
        "x-ratelimit-remaining-tokens": "0",
        "x-ratelimit-reset-tokens": "-1",
    }
    assert window(headers) == Window(remaining_tokens=0)


def test_silence_about_the_limits_is_no_window() -> None:
    assert window({"x-ratelimit-limit-requests": "500"}) is None


@pytest.mark.parametrize(
    ("sentence", "seconds"),
    [
        ("Please try again in 1m30s. Visit us", 90),
        ("please try again in 600ms", 0.6),
        ("Retry after 12 seconds", 12),
        ("Retrying is allowed; retry in 34.5s.", 34.5),
        ("wait 1 hour, 2 minutes and 3 seconds", 3723),
        ("Expected available in 5 minutes.", 300),
        ("Limit 3, used 3. Try again in 20 secs", 20),
        ("try again in 99 days", None),
        ("try again after 3 attempts", None),
        ("took 12 seconds", None),
        ("try again", None),
        ("", None),
    ],
)
def test_a_sentence_that_tells_a_wait_is_seconds(sentence: str, seconds: float | None) -> None:
    assert spoken_wait(sentence) == pytest.approx(seconds)


@given(st.text(alphabet="retyagin 0123456789.msh,and", max_size=200))
def test_a_spoken_wait_is_a_bounded_number_or_nothing_whatever_is_said(sentence: str) -> None:
    seconds = spoken_wait(sentence)
    assert seconds is None or 0 <= seconds <= MAX_RETRY_AFTER
