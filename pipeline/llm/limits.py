"""How fast and how much: quotas a minute, requests in flight, pauses, the budget."""

import asyncio
from collections import deque

from aiolimiter import AsyncLimiter

from pipeline.clock import Clock
from pipeline.errors import LimitReachedError

SLICE_SECONDS = 0.005
"""Quota is taken from the bucket in slices of this much time: one timer a slice, not one a request."""

SLICES = 2
"""What the bucket holds. With room for one alone, each timer's lateness would be lost: 3 % of the rate."""


class Quota:
    """So many units a minute, first come, first served.

    The bucket is small: an `AsyncLimiter(rate, 60)` starts empty and would let almost twice the rate through
    in its first minute. It also serves small waiters first, which starves a large request; hence the lock,
    which asyncio hands over in the order of arrival. An amount larger than the bucket takes several slices.
    """

    def __init__(self, per_minute: float) -> None:
        self._slice = max(1.0, per_minute / 60 * SLICE_SECONDS)
        room = SLICES * self._slice
        self._bucket = AsyncLimiter(room, room / (per_minute / 60))
        self._turn = asyncio.Lock()
        self._lease = 0.0

    async def take(self, amount: float) -> None:
        """Wait until *amount* units may be used, and use them."""
        if self._lease >= amount and not self._turn.locked():
            self._lease -= amount
            return
        async with self._turn:
            while self._lease < amount:
                await self._bucket.acquire(self._slice)
                self._lease += self._slice
            self._lease -= amount


class Concurrency:
    """How many requests may be in flight; finds out by itself how many are good.

    As TCP does: starts with one, doubles each round, after the first congestion adds one a round, and takes
    x0.7 once per episode, however many requests of the same episode report it. It grows only while it is
    fully used: otherwise the limit says nothing about what the endpoint can bear. Starting with one also
    warms the endpoint up: the first call with a new JSON schema is slow.
    """

    FACTOR = 0.7

    def __init__(self, maximum: int, clock: Clock) -> None:
        self.limit = 1.0
        self.sending = 0
        self._places = 0
        self._maximum = maximum
        self._clock = clock
        self._slow_start = True
        self._cut_at = self._full_at = float("-inf")
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def enter(self) -> None:
        """Wait for a place."""
        if not self._waiting and self._places < int(self.limit):
            self._places += 1
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self.leave()
            raise

    def leave(self) -> None:
        """Give a place back."""
        self._places -= 1
        self._wake()

    def sent(self) -> float:
        """Note that a request goes out; returns the time, to be given to `learn`."""
        self.sending += 1
        now = self._clock.now()
        if self.sending >= int(self.limit):
            self._full_at = now
        return now

    def learn(self, sent_at: float, *, congested: bool, success: bool) -> bool:
        """Note that a request came back, and learn from how it went.

        Args:
            sent_at: What `sent` returned.
            congested: Whether the endpoint said, or showed, that there are too many requests.
            success: Whether there was a reply.

        Returns:
            Whether this is the first sign of a new episode of congestion.
        """
        # Not whether it is full now: replies that come together would all but the first find it empty.
        full = self._full_at >= sent_at
        self.sending -= 1
        if congested and sent_at > self._cut_at:
            self.limit = max(1.0, self.limit * self.FACTOR)
            self._slow_start = False
            self._cut_at = self._clock.now()
            return True
        if success and full:
            self.limit = min(self._maximum, self.limit + (1.0 if self._slow_start else 1.0 / self.limit))
            self._wake()
        return False

    def _wake(self) -> None:
        while self._waiting and self._places < int(self.limit):
            waiter = self._waiting.popleft()
            if not waiter.done():
                self._places += 1  # taken here, so that nobody slips in between
                waiter.set_result(None)


class Pause:
    """A moment until which nobody sends, because the endpoint asked for it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until = float("-inf")

    def extend(self, seconds: float) -> None:
        """Send nothing for *seconds* from now."""
        self._until = max(self._until, self._clock.now() + seconds)

    async def wait(self) -> None:
        """Return when nobody asks to wait any more."""
        while (left := self._until - self._clock.now()) > 0:
            await self._clock.sleep(left)


class Budget:
    """US dollars that the run may spend; what is in flight counts with its estimate."""

    def __init__(self, max_usd: float | None, spent_usd: float = 0.0) -> None:
        self._max = max_usd
        self.spent_usd = spent_usd
        self._reserved = 0.0

    def reserve(self, estimate_usd: float) -> None:
        """Set *estimate_usd* aside for a request that is about to be sent.

        Raises:
            LimitReachedError: If it might not be covered.
        """
        if self._max is not None and self.spent_usd + self._reserved + estimate_usd > self._max:
            raise LimitReachedError(
                f"limits.max_cost_usd: {self.spent_usd:.4f} of {self._max:g} USD are spent and the next request "
                "might exceed it; raise it and run again to continue"
            )
        self._reserved += estimate_usd

    def settle(self, estimate_usd: float, cost_usd: float) -> None:
        """Turn a reservation into what was really billed."""
        self._reserved -= estimate_usd
        self.spent_usd += cost_usd
