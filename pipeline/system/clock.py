"""Time and randomness, passed in so that tests control them."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Clock:
    """A run's sources of time and randomness.

    Attributes:
        now: Monotonic time in seconds; every duration is measured with it.
        sleep: Suspends the calling task for a number of seconds.
        random: Returns a number in [0, 1).
        wall: Unix time in seconds, for records only.
    """

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    random: Callable[[], float] = field(default_factory=lambda: random.Random().random)  # noqa: S311 - jitter
    wall: Callable[[], float] = time.time
