"""How the level grows before the first refusal, and the throughput that shows how far it pays."""

from dataclasses import dataclass
from math import log2

from pipeline.system.clock import Clock

SLOW_SECONDS, SILENT_SECONDS, DOUBLING_SECONDS, SILENT_LEVEL = 2.0, 1.0, 0.5, 8.0
"""Where replies are so slow, the level doubles by time: so soon, so often, and before the first reply only so far."""

WAITING = 1.5
"""Replies that take so many times as long as the first had to wait for others."""

GROWTH = 0.125
"""What a reply adds to the level after more in flight brought nothing."""


class Growth:
    """How the level grows before the first refusal: with the replies, or by time where these are slow.

    Attributes:
        doubles: Whether more in flight have brought more replies so far.
        began_at: When the first request was sent, on the clock.
    """

    def __init__(self, maximum: int, clock: Clock) -> None:
        self.doubles = True
        self.began_at = 0.0
        self._maximum = maximum
        self._clock = clock
        self._began = False
        self._silent = True  # nothing has come back yet
        self._first_reply_seconds: float | None = None
        self._doubled_at = float("-inf")

    def on_sent(self, now: float) -> None:
        """Record that a request is sent."""
        if not self._began:
            self._began, self.began_at = True, now

    def on_reply(self, seconds: float) -> None:
        """Record a reply, and how long it took."""
        if self._first_reply_seconds is None:
            self._first_reply_seconds = seconds

    def on_other(self) -> None:
        """Record that something else than a reply came back."""
        self._silent = False

    def by_reply(self, level: float) -> float:
        """Return the level after a reply: one more for each, so that it doubles in a round."""
        return min(self._maximum, level + (1.0 if self.doubles else GROWTH))

    def by_time(self, level: float, in_flight: int, reply_seconds: float | None) -> float:
        """Return the level after some time, with the requests *in_flight* and how long a reply takes on average."""
        first = self._first_reply_seconds
        if not self._began or not self.doubles or in_flight < int(level):
            return level
        if first is None and not self._silent:
            return level  # what has answered with something else is no slow model
        if first is not None and (first < SLOW_SECONDS or (reply_seconds or first) > WAITING * first):
            return level  # each round is soon over; or requests wait for each other already
        now, most = self._clock.now(), min(self._maximum, SILENT_LEVEL if first is None else self._maximum)
        if now < max(self._doubled_at + DOUBLING_SECONDS, self.began_at + SILENT_SECONDS):
            return level
        self._doubled_at = now
        return max(level, min(most, 2 * level))


@dataclass(slots=True)
class _Level:
    """What was measured lately at about one number of requests in flight: means over `replies` replies."""

    replies: int = 0
    in_flight: float = 0.0
    seconds: float = 0.0
    at: float = 0.0

    def add(self, in_flight: int, seconds: float, weight: float, at: float) -> None:
        """Add one reply to the means."""
        self.replies += 1
        weight = max(weight, 1 / self.replies)  # the plain mean, until there are enough for a moving one
        self.in_flight += weight * (in_flight - self.in_flight)
        self.seconds += weight * (seconds - self.seconds)
        self.at = at

    @property
    def rate(self) -> float:
        """Replies a second, by Little's law (J. D. C. Little, 1961)."""
        return self.in_flight / self.seconds


class ThroughputTable:
    """The throughput at each level of requests in flight, where a level is half an octave wide."""

    LEVELS_PER_OCTAVE = 2
    LEVELS = 40  # up to a million in flight
    FRESH_SECONDS = 60.0  # older measurements are not compared with
    MIN_REPLY_SECONDS = 0.25  # quicker replies are no sign of load; this process may itself be what is slow
    GAIN = 1.1  # expected of a level over the lower ones, of the 1.41 where the endpoint bears it
    LOSS = 0.75  # a level below this share of a lower one is judged on fewer replies
    GAIN_REPLIES, LOSS_REPLIES = 32, 8  # until a level is judged by GAIN, or by LOSS
    REFERENCE_REPLIES = 4  # until other levels are compared with one
    MIN_RATIO = 1.3  # between the requests in flight of two levels that are compared
    WEIGHT = 1 / 32  # of a reply in the moving averages
    NEARLY_BEST = 0.95  # the lowest level with this share of the best rate is where throughput saturates

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._levels = [_Level() for _ in range(self.LEVELS)]

    def saturation(self, in_flight: int, seconds: float) -> float | None:
        """Record a reply; return the lower concurrency that already gives the same throughput, or None.

        Args:
            in_flight: Requests in flight when its request was sent, including it.
            seconds: How long it took.
        """
        number = int(self.LEVELS_PER_OCTAVE * log2(in_flight) + 0.5)
        level, now = self._levels[number], self._clock.now()
        if now - level.at > self.FRESH_SECONDS:
            level.replies = 0
        level.add(in_flight, seconds, self.WEIGHT, now)
        # Judged every few replies only: a judgement at each one would sooner or later be wrong by chance.
        if level.replies % self.LOSS_REPLIES or level.seconds < self.MIN_REPLY_SECONDS:
            return None
        return self._saturation_below(number, now)

    def _saturation_below(self, number: int, now: float) -> float | None:
        here = self._levels[number]
        lower = [
            level
            for level in self._levels[:number]
            if level.replies >= self.REFERENCE_REPLIES
            and now - level.at <= self.FRESH_SECONDS
            and level.in_flight * self.MIN_RATIO <= here.in_flight
        ]
        # A clear loss shows in a few replies; a missing gain is small beside the noise and takes more of them.
        wanted = self.GAIN if here.replies >= self.GAIN_REPLIES else self.LOSS
        if not lower or here.rate >= wanted * max(level.rate for level in lower):
            return None
        best = max(level.rate for level in [*lower, here])
        here.replies = 0  # measured anew when the concurrency comes back to this level
        return next((level.in_flight for level in lower if level.rate >= self.NEARLY_BEST * best), None)
