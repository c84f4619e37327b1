"""How long an endpoint asks to wait: Retry-After, the rate-limit windows, and a sentence that says so."""

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

from pipeline.llm.replies import Window

MAX_RETRY_AFTER = 86_400.0
"""Seconds; more than a day is taken for nonsense."""

UNITS = {"ms": 0.001, "us": 0.000_001, "µs": 0.000_001, "ns": 0.000_000_001, "h": 3600.0, "m": 60.0, "s": 1.0}
"""The units of Go's `time.Duration` in seconds: OpenAI's reset headers have this format."""

DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|us|µs|ns|h|m|s)")

SPOKEN_UNITS = {"ms": 0.001, "mil": 0.001, "h": 3600.0, "d": 86_400.0, "m": 60.0, "s": 1.0}
"""Seconds by the beginning of a unit's name; the longer beginnings come first."""

SPOKEN_DURATION = re.compile(
    r"(\d+(?:\.\d+)?)\s*(ms|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?)(?![a-z])"
)
SPOKEN_WAIT = re.compile(
    rf"(?:retry|again|wait|available)\b\D{{0,40}}?((?:{SPOKEN_DURATION.pattern}(?:,?\s*(?:and\s+)?))+)"
)


def parse_go_duration(text: str) -> float | None:
    """Parse the seconds in a Go duration such as `6m0s` or `12ms`, or in a bare number; None for anything else."""
    parts = DURATION.findall(text)
    if parts and "".join(number + unit for number, unit in parts) == text:
        return sum(float(number) * UNITS[unit] for number, unit in parts)
    return _number(text)


def spoken_wait(text: str, unit: str | None = None) -> float | None:
    """Return the seconds that a sentence such as `try again in 1m30s` asks to wait; None if it asks for nothing.

    Args:
        text: The sentence; with *unit*, a duration alone.
        unit: What a number without a unit counts, if *text* is a duration: "s" or "ms".
    """
    text = text.lower()
    if unit is None:
        found = SPOKEN_WAIT.search(text)
        parts = SPOKEN_DURATION.findall(found[1]) if found else []
    else:
        parts = SPOKEN_DURATION.findall(text) or [(text, unit)]
    try:
        seconds = sum(float(number) * _spoken_unit(name) for number, name in parts)
    except ValueError:
        return None
    return seconds if parts and 0 <= seconds <= MAX_RETRY_AFTER else None


def _spoken_unit(name: str) -> float:
    return next(seconds for start, seconds in SPOKEN_UNITS.items() if name.startswith(start))


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that the server asks to wait; None if it asks for nothing, or for nonsense."""
    milliseconds = _number(headers.get("retry-after-ms", ""))
    seconds = milliseconds / 1000 if milliseconds is not None else _number(headers.get("retry-after", ""))
    if seconds is None:
        seconds = _until(headers.get("retry-after", ""), headers.get("date", ""))
    return seconds if seconds is not None and 0 <= seconds <= MAX_RETRY_AFTER else None


def window(headers: Mapping[str, str]) -> Window | None:
    """Return the rate-limit window in the headers; None if they do not say what remains."""
    if "x-ratelimit-remaining-requests" not in headers and "x-ratelimit-remaining-tokens" not in headers:
        return None
    return Window(
        limit_requests=_number(headers.get("x-ratelimit-limit-requests", "")),
        limit_tokens=_number(headers.get("x-ratelimit-limit-tokens", "")),
        remaining_requests=_number(headers.get("x-ratelimit-remaining-requests", "")),
        reset_requests=parse_go_duration(headers.get("x-ratelimit-reset-requests", "")),
        remaining_tokens=_number(headers.get("x-ratelimit-remaining-tokens", "")),
        reset_tokens=parse_go_duration(headers.get("x-ratelimit-reset-tokens", "")),
    )


def _number(text: str) -> float | None:
    """Return the number in *text* if it is finite and not negative; servers also send `-1` and `None`."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value < float("inf") else None


def _until(date: str, now: str) -> float | None:
    # Relative to the server's own Date header, so that this machine's clock does not matter.
    try:
        return (parsedate_to_datetime(date) - parsedate_to_datetime(now)).total_seconds()
    except (ValueError, TypeError, OverflowError):  # OverflowError: a year of twenty digits
        return None
