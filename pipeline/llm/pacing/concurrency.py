"""The slots for requests in flight: as many as the level that was found allows."""

import asyncio
from collections import deque

from pipeline.llm.pacing.evidence import Departure
from pipeline.llm.pacing.level import TICK_SECONDS, Level
from pipeline.system.clock import Clock

LONGEST_SLEEP = 0.5
"""Seconds after which a request that waits for its moment looks whether that has come nearer."""


class Concurrency:
    """An adaptive limit on the requests in flight, between 1 and *maximum*.

    A worker calls `acquire`, `pace`, `on_sent`, one of `on_reply`, `on_refusal` and `on_other`, and `release`, in this
    order.

    Attributes:
        level: How many may be in flight, as found by trial.
        sending: Requests in flight.
    """

    def __init__(self, maximum: int, clock: Clock) -> None:
        self.level = Level(maximum, clock)
        self.sending = 0
        self._acquired = 0
        self._maximum = maximum
        self._clock = clock
        self._departed = self._departed_before = float("-inf")  # the last request, and the one before it
        self._fraction = 0.0  # drawn anew now and then, so that the mean is the level with its fraction
        self._waiters: deque[asyncio.Future[None]] = deque()

    @property
    def limit(self) -> int:
        """Requests that may be in flight now."""
        if self.level.storm.raging:
            return 1
        return min(self._maximum, max(1, int(self.level.value + self._fraction)))

    def try_acquire(self) -> bool:
        """Acquire a slot if one is free, and return whether it was."""
        if self._waiters or self._acquired >= self.limit:
            return False
        self._acquired += 1
        return True

    async def acquire(self) -> None:
        """Wait for a slot and acquire it; first come, first served."""
        if self.try_acquire():
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self.release()  # `_wake` had already given the slot to this waiter
            raise

    def release(self) -> None:
        """Release a slot."""
        self._acquired -= 1
        self._wake()

    @property
    def paces(self) -> bool:
        """Whether requests are spread out, which starts with the first refusal."""
        return self.level.spreads

    async def pace(self) -> None:
        """Wait for the next request's moment, if requests are spread out."""
        if not self.level.spreads:
            return
        at = self.departure_time()
        storm = self.level.storm
        while True:
            self.level.judge()
            at = self.sooner(at)
            # What was refused meanwhile may hold everybody for longer.
            seconds = max(at, storm.until) - self._clock.now()
            if seconds <= 0 and storm.raging and not storm.try_probe():
                seconds = TICK_SECONDS
            if seconds <= 0:
                return
            await self._clock.sleep(min(seconds, LONGEST_SLEEP))

    def departure_time(self) -> float:
        """Return when the next request may be sent, on the clock, and take that moment."""
        self._departed_before = self._departed
        self._departed = self._next_after(self._departed_before)
        return self._departed

    def sooner(self, at: float) -> float:
        """Return when the request that took the moment *at* may be sent, now that the level may have risen."""
        if at == self._departed > self._clock.now():
            self._departed = min(at, self._next_after(self._departed_before))
            return self._departed
        return at

    def _next_after(self, departed: float) -> float:
        return max(self._clock.now(), self.level.storm.until, departed + self.level.spacing)

    def on_sent(self) -> Departure:
        """Record that a request is sent; returns what records its outcome."""
        self.sending += 1
        return self.level.on_sent(self.sending)

    def on_reply(self, departure: Departure) -> None:
        """Record a reply."""
        self.sending -= 1
        self.level.on_reply(departure)
        self.tick()

    def on_refusal(self, departure: Departure, told_seconds: float) -> None:
        """Record that the endpoint refused, and asked to wait for so long (0: did not); or did not answer in time."""
        self.sending -= 1
        self.level.on_refusal(departure, told_seconds)
        self.tick()

    def on_other(self, departure: Departure) -> None:
        """Record that a request ended in a way that says nothing about the load."""
        self.sending -= 1
        self.level.on_other(departure)

    def on_told(self, departure: Departure) -> None:
        """Record that the endpoint said that its limit is reached, whatever became of the request."""
        self.level.on_told(departure)

    def tick(self) -> None:
        """Adapt to the time that has passed; called now and then, too, while nothing comes back."""
        self.level.tick(self.sending)
        if self.level.spreads:
            self._fraction = self._clock.random()
        self._wake()

    async def keep_time(self) -> None:
        """Adapt to the time that passes while nothing comes back, for ever."""
        while True:
            await self._clock.sleep(TICK_SECONDS)
            self.tick()

    def _wake(self) -> None:
        while self._waiters and self._acquired < self.limit:
            waiter = self._waiters.popleft()
            if not waiter.done():
                self._acquired += 1  # here and not in the waiter, so that no newcomer takes the slot first
                waiter.set_result(None)
