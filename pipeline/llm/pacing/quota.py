"""Quotas per minute, and pauses that the endpoint asks for."""

import asyncio

from aiolimiter import AsyncLimiter

from pipeline.system.clock import Clock

SLICE_SECONDS = 0.0025
"""Seconds' worth of units that are taken from the bucket at once: one timer a slice instead of one a request."""

CATCH_UP_SECONDS = 0.005
"""Seconds' worth of units that may be caught up after a late timer: half of what MARGIN keeps back in a second."""

MARGIN = 0.01
"""Share of the rate that is kept back: for what is caught up, and for requests that the network delivers closer
together than they were sent. So no second sees more than the rate plus one."""

TOKENS_CATCH_UP_SECONDS = 0.05
"""The same for tokens: both sides only estimate them, so a twentieth of a second's worth more does no harm."""


class Quota:
    """A rate limit of *per_minute* units, first come, first served.

    No second sees more than a second's worth plus one. An amount larger than the bucket is taken in several
    slices, so any amount gets through in its time.

    Attributes:
        counts: Whether amounts make a difference.
    """

    counts = True

    def __init__(self, per_minute: float, catch_up_seconds: float = CATCH_UP_SECONDS) -> None:
        rate = per_minute / 60
        # Whole units: a remainder would be saved up outside the bucket.
        self._slice = max(1.0, float(int(rate * SLICE_SECONDS)))
        # Of "a second's worth plus one", the slice in hand and the unit that is asked for are outside the bucket.
        capacity = 2 + rate * catch_up_seconds - self._slice
        # A small bucket: AsyncLimiter(rate, 60) starts empty and would let nearly twice the rate through in its
        # first minute.
        self._bucket = AsyncLimiter(capacity, capacity / (rate * (1 - MARGIN)))
        # AsyncLimiter wakes small waiters first, which starves a large request; asyncio's lock is first come,
        # first served.
        self._lock = asyncio.Lock()
        self._in_hand = 0.0  # units out of the bucket that nothing has used yet

    def holds(self, amount: float) -> bool:
        """Return whether *amount* units may be used at once."""
        # Not while others queue for the lock: a newcomer would overtake them.
        return self._in_hand >= amount and not self._lock.locked()

    def use(self, amount: float) -> None:
        """Use *amount* units; only right after `holds` returned True."""
        self._in_hand -= amount

    async def take(self, amount: float) -> None:
        """Wait until *amount* units may be used, and use them."""
        if self.holds(amount):
            self.use(amount)
            return
        async with self._lock:
            # Slices stay in hand if the wait is cancelled, so no quota is lost.
            while self._in_hand < amount:
                await self._bucket.acquire(self._slice)
                self._in_hand += self._slice
            self._in_hand -= amount


class Pause:
    """A time in which nothing is sent, because the endpoint asked for it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until = float("-inf")

    @property
    def seconds_left(self) -> float:
        """Seconds until it ends; 0 or less if there is none."""
        return self._until - self._clock.now()

    def extend(self, seconds: float) -> None:
        """Extend the pause to at least *seconds* from now; never shorten it."""
        self._until = max(self._until, self._clock.now() + seconds)

    async def wait(self) -> None:
        """Wait until it ends."""
        while (seconds := self.seconds_left) > 0:  # it may be extended meanwhile
            await self._clock.sleep(seconds)
