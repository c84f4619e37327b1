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


class Concurrency:
    """How many requests may be in flight; finds out by itself how many are good.

    As TCP does: starts with one, doubles each round, after the first congestion adds one a round, and takes
    x0.7 once per episode, however many requests of the same episode report it. It grows only while it is
    fully used: otherwise the limit says nothing about what the endpoint can bear. Starting with one also
    warms the endpoint up: the first call with a new JSON schema is slow.

    Where episodes come often it grows more and more slowly towards where the last one was, until there are
    RARE replies between two: each episode costs a few refusals. Requests are spread over the time that a reply
    takes, as TCP's pacing does; where even one in flight is too many, there are breaks between them.
    """

    FACTOR = 0.7
    RARE = 300  # replies between two episodes; with the one to three refusals that each costs, under 1 %
    MORE_CARE = 4.0
    MOST_CARE = 2048.0
    BEYOND = 1.25  # times where the last episode was: the endpoint bears more than it did
    CALM_SECONDS = 180.0  # without an episode, until care is taken back
    LEAST_SHARE = 0.001
    SPREAD = 0.8  # of the time that a reply takes; spread over all of it, the limit would never be reached
    WEIGHT = 0.1  # of a reply in the moving average of that time

    def __init__(self, maximum: int, clock: Clock) -> None:
        self.limit = 1.0
        self.sending = 0
        self._share = 1.0  # of the time that the only request is in flight; below 1 only where the limit is 1
        self._places = 0
        self._maximum = maximum
        self._clock = clock
        self._slow_start = True
        self._cut_at = self._calm_at = self._full_at = self._next_at = float("-inf")
        self._seconds = 0.0
        self._replies = 0
        self._ceiling, self._care = float("inf"), 1.0
        self._waiting: deque[asyncio.Future[None]] = deque()

    def entered(self) -> bool:
        """Take a place, if one is free at once; tell whether it was."""
        if self._waiting or self._places >= int(self.limit):
            return False
        self._places += 1
        return True

    async def enter(self) -> None:
        """Wait for a place."""
        if self.entered():
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

    @property
    def is_unspaced(self) -> bool:
        """Whether nobody needs to wait for a moment of his own: there was no congestion yet."""
        return self._slow_start

    async def spaced(self) -> None:
        """Wait for the next request's moment: once there was congestion, they no longer go out all together."""
        if self._slow_start:
            return
        now = self._clock.now()
        at = max(now, self._next_at)
        each = self._seconds / (self.limit * self._share)
        self._next_at = at + (each if self.limit == 1 else self.SPREAD * each)
        if at > now:
            await self._clock.sleep(at - now)

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
        if success:
            self._replies += 1
            seconds = self._clock.now() - sent_at
            self._seconds += self.WEIGHT * (seconds - self._seconds) if self._seconds else seconds
        if congested and sent_at > self._cut_at:
            self._cut()
            return True
        if success and full:
            self._grow()
        return False

    def _cut(self) -> None:
        level = self.limit * self._share
        if self._replies:  # otherwise it is still the same congestion
            if self._replies < self.RARE and not self._slow_start:
                self._care = min(self.MOST_CARE, self._care * self.MORE_CARE)
            self._ceiling = level
        self._slow_start = False
        if self._replies or self.limit > 1:
            self._set(level * self.FACTOR)
        self._cut_at = self._calm_at = self._clock.now()
        self._replies = 0

    def _grow(self) -> None:
        level, now = self.limit * self._share, self._clock.now()
        if level > self.BEYOND * self._ceiling:
            self._ceiling, self._care = float("inf"), 1.0
        elif now - self._calm_at > self.CALM_SECONDS:
            self._care, self._calm_at = max(1.0, self._care / self.MORE_CARE), now
        self._set(level + (1.0 if self._slow_start else min(1.0 / self.limit, level / self._care)))
        self._wake()

    def _set(self, level: float) -> None:
        self.limit = min(self._maximum, max(1.0, level))
        self._share = max(self.LEAST_SHARE, min(1.0, level))

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
