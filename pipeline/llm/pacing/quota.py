"""How fast: quotas a minute, and pauses that the endpoint asked for."""

import asyncio

from aiolimiter import AsyncLimiter

from pipeline.system.clock import Clock

SLICE_SECONDS = 0.0025
"""Quota is taken from the bucket in slices of this much time: one timer a slice, not one a request."""

CATCH_UP_SECONDS = 0.005
"""Quota of so much time may be caught up where a timer was late: half of what LEFT_OUT leaves."""

LEFT_OUT = 0.01
"""Share of the rate that is left out: for what is caught up, and for requests that the network delivers sooner after
each other than they were sent. So no second sees more than the rate and one."""

TOKENS_CATCH_UP_SECONDS = 0.05
"""Tokens are counted by estimate on both sides, so a twentieth of a second more of them does no harm."""


class Quota:
    """So many units a minute, first come, first served; in no second more than a second's worth and one.

    The bucket is small: an `AsyncLimiter(rate, 60)` starts empty and would let almost twice the rate through
    in its first minute. It also serves small waiters first, which starves a large request; hence the lock,
    which asyncio hands over in the order of arrival. An amount larger than the bucket takes several slices.
    """

    def __init__(self, per_minute: float, catch_up_seconds: float = CATCH_UP_SECONDS) -> None:
        rate = per_minute / 60
        # Whole units: a remainder would be saved up beside the bucket.
        self._slice = max(1.0, float(int(rate * SLICE_SECONDS)))
        # Beside the slice in hand, less the unit that is asked for.
        room = 2 + rate * catch_up_seconds - self._slice
        self._bucket = AsyncLimiter(room, room / (rate * (1 - LEFT_OUT)))
        self._turn = asyncio.Lock()
        self._lease = 0.0

    def holds(self, amount: float) -> bool:
        """Whether *amount* units may be used at once, by somebody who has not waited."""
        return self._lease >= amount and not self._turn.locked()

    def use(self, amount: float) -> None:
        """Use *amount* units that are there."""
        self._lease -= amount

    async def take(self, amount: float) -> None:
        """Wait until *amount* units may be used, and use them."""
        if self.holds(amount):
            self.use(amount)
            return
        async with self._turn:
            while self._lease < amount:
                await self._bucket.acquire(self._slice)
                self._lease += self._slice
            self._lease -= amount


class Pause:
    """A moment until which nobody sends, because the endpoint asked for it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until = float("-inf")

    @property
    def left(self) -> float:
        """Seconds that it still lasts; none left where it is not above 0."""
        return self._until - self._clock.now()

    def extend(self, seconds: float) -> None:
        """Send nothing for *seconds* from now."""
        self._until = max(self._until, self._clock.now() + seconds)

    async def wait(self) -> None:
        """Return when nobody asks to wait any more."""
        while (left := self.left) > 0:
            await self._clock.sleep(left)
