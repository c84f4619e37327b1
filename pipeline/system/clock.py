"""Time and chance, passed in, so that a test can own them."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Clock:
    """The sources of time and chance of a run.

    Attributes:
        now: Seconds on a clock that never steps.
        sleep: Waits for so many seconds.
        random: A number in [0, 1).
        wall: Unix time in seconds; for the record only, nothing is measured with it.
    """

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    random: Callable[[], float] = field(default_factory=lambda: random.Random().random)  # noqa: S311 - jitter
    wall: Callable[[], float] = time.time
