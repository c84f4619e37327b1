"""Latency distributions of the simulator, as a config or a command line writes them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Protocol

from pipeline.errors import UsageError

MOST_SECONDS = 86_400.0
"""The longest latency, a day: timers accept no infinite number."""

MOST_SIGMA = 10.0
"""The largest standard deviation: far beyond any real endpoint, and small enough that no draw overflows."""


class Latency(Protocol):
    """A distribution of the seconds until an answer's first byte."""

    def draw(self, random: Random) -> float:
        """Draw one request's latency in seconds."""


@dataclass(frozen=True, slots=True)
class Fixed:
    """A constant latency.

    Attributes:
        seconds: 0 to `MOST_SECONDS`; 0 answers at once.
    """

    seconds: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.seconds <= MOST_SECONDS:
            raise UsageError(f"latency {self.seconds}: give 0 seconds to a day")

    def draw(self, random: Random) -> float:  # noqa: ARG002 - the protocol's signature
        """Return the constant in seconds."""
        return self.seconds

    def __str__(self) -> str:
        return f"{self.seconds:g}"


@dataclass(frozen=True, slots=True)
class Uniform:
    """A uniform latency between two bounds.

    Attributes:
        low: Seconds.
        high: Seconds, at least *low*.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.high <= MOST_SECONDS:
            raise UsageError(
                f"latency between {self.low} and {self.high}: give two seconds up to a day, the lower one first"
            )

    def draw(self, random: Random) -> float:
        """Draw one request's latency in seconds."""
        return random.uniform(self.low, self.high)

    def __str__(self) -> str:
        return f"uniform:{self.low:g},{self.high:g}"


@dataclass(frozen=True, slots=True)
class Lognormal:
    """A lognormal latency: mostly near the median, sometimes much longer, as with real endpoints.

    Attributes:
        median: Seconds.
        sigma: Standard deviation of the logarithm; 0.5 puts one in a hundred beyond 3.2 medians.
    """

    median: float
    sigma: float = 0.5

    def __post_init__(self) -> None:
        if not (0 < self.median <= MOST_SECONDS and 0 <= self.sigma <= MOST_SIGMA):
            raise UsageError(
                f"latency around {self.median}, sigma {self.sigma}: give a median above 0 seconds, up to a day, "
                f"and a sigma of 0 to {MOST_SIGMA:g}"
            )

    def draw(self, random: Random) -> float:
        """Draw one request's latency in seconds, at most a day."""
        return min(MOST_SECONDS, random.lognormvariate(math.log(self.median), self.sigma))

    def __str__(self) -> str:
        return f"lognormal:{self.median:g},{self.sigma:g}"


AnyLatency = Fixed | Uniform | Lognormal

USUAL = Lognormal(0.5, 0.4)
"""The default, about that of a small model on a busy endpoint: half of the replies within 0.5 s, 1 % after 1.3 s."""

LATENCIES: Mapping[str, tuple[type[AnyLatency], range]] = {
    "fixed": (Fixed, range(1, 2)),
    "uniform": (Uniform, range(2, 3)),
    "lognormal": (Lognormal, range(1, 3)),
}
"""Name to the class and the numbers of arguments that it accepts."""


def parse_latency(text: str) -> AnyLatency:
    """Parse `0.5`, `fixed:0.5`, `uniform:0.2,0.8` or `lognormal:0.5,0.4`, in seconds.

    Raises:
        UsageError: If *text* is none of them, or a number is out of range.
    """
    name, _, numbers = text.rpartition(":")
    kind, counts = LATENCIES.get(name or "fixed", (None, range(0)))
    try:
        values = [float(number) for number in numbers.split(",")]
    except ValueError:
        values = []
    if kind is None or len(values) not in counts:
        raise UsageError(
            f"latency {text!r}: not understood; write 0.5, uniform:0.2,0.8 or lognormal:0.5,0.4 (seconds)"
        )
    return kind(*values)
