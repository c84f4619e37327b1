"""How many requests may be in flight: found out from what comes back."""

import asyncio
from collections import deque
from math import ceil
from typing import NamedTuple

from pipeline.llm.pacing.throughput import ThroughputTable
from pipeline.system.clock import Clock


class Departure(NamedTuple):
    """When a request went out, on the clock, and how many were in flight then, itself among them."""

    at: float
    in_flight: int


class Concurrency:
    """How many requests may be in flight; finds out by itself how many are good.

    Starts with one, which also warms the endpoint up (the first call with a new JSON schema is slow), and doubles
    each round. From then on it grows as long as that pays. Two things show that it does not:

    - The endpoint refuses, or does not answer in time: x0.7 once per episode, however many requests report it,
      as TCP does. Each episode costs a few refusals, so near the level of the last one it grows more and more
      slowly, until there are RARE replies between two. Well below that level, and well beyond it, it grows fast:
      the endpoint bears more than it did.
    - More requests in flight only wait for each other: back to where there were as many replies a second with
      fewer. That is tried again after a while, for it costs nothing but time.

    It grows only while it is fully used: otherwise the limit says nothing about what the endpoint can bear.
    After the first refusal requests are spread over the time that a reply takes, as TCP's pacing does; where even
    one in flight is too many, there are breaks between them.
    """

    FACTOR = 0.7
    FAST = 0.125  # growth a round where nothing speaks against it
    NEAR, BEYOND = 0.85, 1.1  # times where the last episode was
    RARE = 250  # replies between two episodes; with the one or two refusals that each costs, under 1 %
    CARE, MOST_CARE = 500.0, 3000.0  # replies in which it grows e-fold near the level of the last episode
    CALM_SECONDS = 180.0  # without an episode, until care is taken back
    REST_SECONDS = 4.0  # until more is tried again that did not pay
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
        self._slow_start = self._unrefused = True
        self._cut_at = self._calm_at = self._full_at = self._next_at = self._rests_until = float("-inf")
        self._seconds = 0.0
        self._replies = 0
        self._ceiling, self._careful_from, self._care = float("inf"), float("inf"), self.CARE
        self._throughput = ThroughputTable(clock)
        self._waiting: deque[asyncio.Future[None]] = deque()

    def try_acquire(self) -> bool:
        """Take a place, if one is free at once; tell whether it was."""
        if self._waiting or self._places >= int(self.limit):
            return False
        self._places += 1
        return True

    async def acquire(self) -> None:
        """Wait for a place."""
        if self.try_acquire():
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self.release()
            raise

    def release(self) -> None:
        """Give a place back."""
        self._places -= 1
        self._wake()

    @property
    def paces(self) -> bool:
        """Whether requests are spread out, which starts with the first refusal."""
        return not self._unrefused

    async def pace(self) -> None:
        """Wait for the next request's moment: once one was refused, they no longer go out all together."""
        if self._unrefused:
            return
        now = self._clock.now()
        at = max(now, self._next_at)
        each = self._seconds / (self.limit * self._share)
        self._next_at = at + (each if self.limit == 1 else self.SPREAD * each)
        if at > now:
            await self._clock.sleep(at - now)

    def on_sent(self) -> Departure:
        """Note that a request goes out; returns what is to be given to `on_done`."""
        self.sending += 1
        now = self._clock.now()
        if self.sending >= int(self.limit):
            self._full_at = now
        return Departure(now, self.sending)

    def on_done(self, departure: Departure, *, congested: bool, success: bool) -> bool:
        """Note that a request came back, and learn from how it went.

        Args:
            departure: What `on_sent` returned.
            congested: Whether the endpoint said, or showed, that there are too many requests.
            success: Whether there was a reply.

        Returns:
            Whether this is the first sign of a new episode of congestion.
        """
        # Not whether it is full now: replies that come together would all but the first find it empty.
        full = self._full_at >= departure.at
        self.sending -= 1
        if congested and departure.at > self._cut_at:
            self._count(departure, success=success)
            self._cut()
            return True
        if self._count(departure, success=success) and full:
            self._learn_from(departure)
        return False

    def _count(self, departure: Departure, *, success: bool) -> bool:
        if success:
            self._replies += 1
            seconds = self._clock.now() - departure.at
            self._seconds += self.WEIGHT * (seconds - self._seconds) if self._seconds else seconds
        return success

    def _learn_from(self, departure: Departure) -> None:
        """Grow, unless as many replies came with fewer in flight."""
        now = self._clock.now()
        enough = self._throughput.saturation(departure.in_flight, now - departure.at)
        if enough is not None and enough < self.limit:
            self._slow_start = False
            self._rests_until = now + self.REST_SECONDS
            self._set(ceil(enough))
        elif now >= self._rests_until:
            self._grow(now)

    def _cut(self) -> None:
        level = self.limit * self._share
        if self._replies:  # otherwise it is still the same congestion
            often = self._replies < self.RARE and not self._slow_start
            if often:
                self._care = min(self.MOST_CARE, self._care * 2)
            self._ceiling, self._careful_from = level, level * (self.FACTOR if often else self.NEAR)
        self._slow_start = self._unrefused = False
        if self._replies or self.limit > 1:
            self._set(level * self.FACTOR)
        self._cut_at = self._calm_at = self._clock.now()
        self._replies = 0

    def _grow(self, now: float) -> None:
        level = self.limit * self._share
        if level > self.BEYOND * self._ceiling:
            self._ceiling, self._careful_from, self._care = float("inf"), float("inf"), self.CARE
        elif now - self._calm_at > self.CALM_SECONDS:
            self._care, self._calm_at = max(self.CARE, self._care / 2), now
        self._set(level + self._step(level))
        self._wake()

    def _step(self, level: float) -> float:
        """Return what one reply adds."""
        if self._slow_start:
            return 1.0
        fast = self.FAST * level / self.limit
        return min(fast, level / self._care) if level >= self._careful_from else fast

    def _set(self, level: float) -> None:
        self.limit = min(self._maximum, max(1.0, level))
        self._share = max(self.LEAST_SHARE, min(1.0, level))

    def _wake(self) -> None:
        while self._waiting and self._places < int(self.limit):
            waiter = self._waiting.popleft()
            if not waiter.done():
                self._places += 1  # taken here, so that nobody slips in between
                waiter.set_result(None)
