"""How many replies a second come of so many requests in flight."""

from dataclasses import dataclass
from math import log2

from pipeline.system.clock import Clock


@dataclass(slots=True)
class _Level:
    """What was seen lately at about one number of requests in flight: means over `replies` replies."""

    replies: int = 0
    in_flight: float = 0.0
    seconds: float = 0.0
    at: float = 0.0

    def add(self, in_flight: int, seconds: float, weight: float, at: float) -> None:
        """Take one reply in."""
        self.replies += 1
        weight = max(weight, 1 / self.replies)
        self.in_flight += weight * (in_flight - self.in_flight)
        self.seconds += weight * (seconds - self.seconds)
        self.at = at

    @property
    def rate(self) -> float:
        """Replies a second, by Little's law (J. D. C. Little, 1961)."""
        return self.in_flight / self.seconds


class ThroughputTable:
    """Remembers the rate at each level of requests in flight, half an octave wide."""

    LEVELS_PER_OCTAVE = 2
    LEVELS = 40  # up to a million in flight
    FRESH_SECONDS = 60.0
    BURDEN_SECONDS = 0.25
    """Replies that come sooner are no burden, and may well be late because we ourselves are busy."""
    GAIN = 1.1  # of the 1.41 that half an octave brings where the endpoint bears more
    LOSS = 0.75
    ENOUGH, SOME, FEW = (
        32,
        8,
        4,
    )  # replies until a level is judged by GAIN, by LOSS, and until others are measured by it
    APART = 1.3  # times as many in flight are needed to tell a difference
    WEIGHT = 1 / 32
    BEST = 0.95

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._levels = [_Level() for _ in range(self.LEVELS)]

    def saturation(self, in_flight: int, seconds: float) -> float | None:
        """Take one reply in, and return how many in flight are enough, if fewer bring as much; None if they do not.

        Args:
            in_flight: Requests in flight when its request went out.
            seconds: How long it took.
        """
        number = int(self.LEVELS_PER_OCTAVE * log2(in_flight) + 0.5)
        level, now = self._levels[number], self._clock.now()
        if now - level.at > self.FRESH_SECONDS:
            level.replies = 0
        level.add(in_flight, seconds, self.WEIGHT, now)
        if level.replies % self.SOME or level.seconds < self.BURDEN_SECONDS:
            return None
        return self._fewer(number, now)

    def _fewer(self, number: int, now: float) -> float | None:
        here = self._levels[number]
        lower = [
            level
            for level in self._levels[:number]
            if level.replies >= self.FEW
            and now - level.at <= self.FRESH_SECONDS
            and level.in_flight * self.APART <= here.in_flight
        ]
        wanted = self.GAIN if here.replies >= self.ENOUGH else self.LOSS
        if not lower or here.rate >= wanted * max(level.rate for level in lower):
            return None
        best = max(level.rate for level in [*lower, here])
        here.replies = 0  # to be seen anew
        return next((level.in_flight for level in lower if level.rate >= self.BEST * best), None)
