"""Requests and tokens per minute, enforced as providers do: in far smaller windows."""

import math

from pipeline.servers.protocol.http import Headers
from pipeline.servers.simulator.response import Response, refuse
from pipeline.servers.simulator.settings import RateSettings

ROUNDING = 1e-6
"""Tolerance, in requests or tokens, for rounding after a wait of exactly the announced time."""


def format_go_duration(seconds: float) -> str:
    """Return *seconds* as Go writes durations: `12ms`, `1s`, `6m0s`, `1h0m0.5s`."""
    millis = math.ceil(seconds * 1000 - ROUNDING)
    if millis < 1000:  # noqa: PLR2004
        return f"{max(0, millis)}ms"
    minutes, rest = divmod(millis, 60_000)
    hours, minutes = divmod(minutes, 60)
    tail = f"{rest / 1000:g}s"
    if hours:
        return f"{hours}h{minutes}m{tail}"
    return f"{minutes}m{tail}" if minutes else tail


class Bucket:
    """An allowance that fills at a steady rate up to one window's worth.

    An amount above the capacity is admitted when the bucket is full and leaves it in debt, so that the rate
    holds on average.
    """

    def __init__(self, per_minute: float, window_seconds: float, now: float) -> None:
        self.per_minute = per_minute
        self._rate = per_minute / 60
        self._size = max(1.0, self._rate * window_seconds)
        self._level = self._size
        self._at = now

    def refill(self, now: float) -> None:
        """Bring the level up to *now*, in seconds of the caller's clock."""
        self._level = min(self._size, self._level + (now - self._at) * self._rate)
        self._at = now

    def wait(self, amount: float) -> float:
        """Return the seconds until *amount* passes; 0 if *amount* passes now."""
        missing = min(amount, self._size) - self._level
        return missing / self._rate if missing > ROUNDING else 0.0

    def take(self, amount: float) -> None:
        """Use *amount*."""
        self._level -= amount

    def headers(self, unit: str) -> Headers:
        """Return OpenAI's three headers about *unit*."""
        reset = (self._size - self._level) / self._rate
        return (
            (f"x-ratelimit-limit-{unit}", f"{self.per_minute:.0f}"),
            (f"x-ratelimit-remaining-{unit}", f"{max(0, math.floor(self._level + ROUNDING))}"),
            (f"x-ratelimit-reset-{unit}", format_go_duration(reset)),
        )


class Rates:
    """The request and token limits of one server."""

    def __init__(self, settings: RateSettings, now: float) -> None:
        self._settings = settings
        limits = {"requests": settings.requests_per_minute, "tokens": settings.tokens_per_minute}
        self._buckets = {
            unit: Bucket(limit, settings.window_seconds, now)
            for unit, limit in limits.items()
            if limit is not None
        }

    def refusal(self, tokens: int, now: float) -> Response | None:
        """Admit a request of *tokens*, or return the 429 for it; a refused request uses nothing."""
        if not self._buckets:
            return None
        amounts = {"requests": 1, "tokens": tokens}
        for bucket in self._buckets.values():
            bucket.refill(now)
        per_minute = self._settings.tokens_per_minute
        if per_minute is not None and tokens > per_minute:
            return self._too_large(tokens, per_minute)
        waits = {unit: bucket.wait(amounts[unit]) for unit, bucket in self._buckets.items()}
        unit = max(waits, key=lambda name: waits[name])
        if waits[unit] > 0:
            return self._limited(unit, waits[unit])
        for name, bucket in self._buckets.items():
            bucket.take(amounts[name])
        return None

    def headers(self) -> Headers:
        """Return the rate-limit headers; none where the limits are hidden."""
        if self._settings.hidden:
            return ()
        return tuple(header for unit, bucket in self._buckets.items() for header in bucket.headers(unit))

    def _limited(self, unit: str, wait: float) -> Response:
        message = "Rate limit reached"
        if not self._settings.hidden:
            message += f" on {unit} per min: Limit {self._buckets[unit].per_minute:.0f}"
        if self._settings.retry_after != "none":
            message += f". Please try again in {format_go_duration(wait)}."
        headers = self.headers() + self._retry_after(wait)
        return refuse(429, message, kind=unit, code="rate_limit_exceeded", headers=headers)

    def _too_large(self, tokens: int, per_minute: float) -> Response:
        message = f"Request too large on tokens per min: Limit {per_minute:.0f}, Requested {tokens}."
        return refuse(429, message, kind="tokens", code="rate_limit_exceeded", headers=self.headers())

    def _retry_after(self, wait: float) -> Headers:
        form = self._settings.retry_after
        seconds = (("Retry-After", str(math.ceil(wait - ROUNDING))),) if form in {"seconds", "both"} else ()
        millis = (
            (("retry-after-ms", str(math.ceil(wait * 1000 - ROUNDING))),) if form in {"ms", "both"} else ()
        )
        return seconds + millis
