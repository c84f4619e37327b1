"""The number of requests that may be in flight, found by trial."""

import asyncio
from collections import deque
from math import ceil
from typing import NamedTuple

from pipeline.llm.pacing.throughput import ThroughputTable
from pipeline.system.clock import Clock


class Departure(NamedTuple):
    """When a request was sent, on the clock, and how many were in flight then, including itself."""

    at: float
    in_flight: int


class Concurrency:
    """An adaptive limit on the requests in flight, between 1 and *maximum*.

    It doubles in each round trip until the first sign of too much, then grows by less, and is cut when the
    endpoint refuses or times out (multiplicative decrease, as in TCP) or when fewer requests in flight would
    bring as many replies a second. After the first refusal, requests are also spread out in time (pacing).

    A worker calls `acquire`, `pace`, `on_sent`, `on_done` and `release`, in this order.

    Attributes:
        limit: Requests that may be in flight; the fraction counts towards the next one.
        sending: Requests in flight.
    """

    DECREASE = 0.7  # as in CUBIC (RFC 9438), which cuts less deeply than TCP Reno's half
    GROWTH = 0.125  # a round, where nothing suggests caution
    NEAR, BEYOND = 0.85, 1.1  # multiples of the level of the last episode
    EPISODE_GAP = 250  # replies between two episodes; each costs one or two refusals, so they stay below 1 %
    # Replies in which the limit grows e-fold near the last episode's level.
    CAUTION, MAX_CAUTION = 500.0, 3000.0
    CALM_SECONDS = 180.0  # without an episode, until caution is halved
    HOLD_SECONDS = 4.0  # without growth, after more in flight brought nothing
    MIN_DUTY = 0.001
    SPREAD = 0.8  # of a reply's time; spread over all of it, requests would never fill the limit
    WEIGHT = 0.1  # of a reply in the moving average of that time

    def __init__(self, maximum: int, clock: Clock) -> None:
        # One request first: it also warms the endpoint up, where a new JSON schema makes the first call slow.
        self.limit = 1.0
        self.sending = 0
        self._duty = 1.0  # share of the time that a request is in flight; below 1 only where the limit is 1
        self._acquired = 0
        self._maximum = maximum
        self._clock = clock
        self._slow_start = self._never_refused = True
        self._cut_at = self._calm_since = float("-inf")
        self._full_at = self._next_send_at = self._held_until = float("-inf")
        self._reply_seconds = 0.0
        self._replies_since_cut = 0
        self._last_level, self._cautious_from, self._caution = float("inf"), float("inf"), self.CAUTION
        self._throughput = ThroughputTable(clock)
        self._waiters: deque[asyncio.Future[None]] = deque()

    def try_acquire(self) -> bool:
        """Acquire a slot if one is free, and return whether it was."""
        if self._waiters or self._acquired >= int(self.limit):
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
        return not self._never_refused

    async def pace(self) -> None:
        """Wait for the next request's moment, if requests are spread out."""
        if self._never_refused:
            return
        now = self._clock.now()
        at = max(now, self._next_send_at)
        interval = self._reply_seconds / (self.limit * self._duty)
        # At a limit of 1 the interval is what keeps the duty below 1, so it is not shortened.
        self._next_send_at = at + (interval if self.limit == 1 else self.SPREAD * interval)
        if at > now:
            await self._clock.sleep(at - now)

    def on_sent(self) -> Departure:
        """Record that a request is sent; returns what `on_done` needs."""
        self.sending += 1
        now = self._clock.now()
        if self.sending >= int(self.limit):
            self._full_at = now
        return Departure(now, self.sending)

    def on_done(self, departure: Departure, *, congested: bool, success: bool) -> bool:
        """Record that a request ended, and adapt the limit.

        Args:
            departure: What `on_sent` returned.
            congested: Whether the endpoint said or showed that there are too many requests.
            success: Whether there was a reply.

        Returns:
            Whether this is the first sign of a new episode of congestion.
        """
        # Growth needs a limit that was fully used, or it says nothing about what the endpoint bears. "Was", not
        # "is": of replies that come together, all but the first find fewer in flight than the limit.
        full = self._full_at >= departure.at
        self.sending -= 1
        if success:
            self._record(departure)
        # A request sent before the last cut reports the same episode: one cut an episode, however many report it.
        if congested and departure.at > self._cut_at:
            self._cut()
            return True
        if success and full:
            self._adapt(departure)
        return False

    def _record(self, departure: Departure) -> None:
        """Count a reply, and learn from the time that it took."""
        self._replies_since_cut += 1
        seconds = self._clock.now() - departure.at
        self._reply_seconds += (
            self.WEIGHT * (seconds - self._reply_seconds) if self._reply_seconds else seconds
        )

    def _adapt(self, departure: Departure) -> None:
        """Lower the limit to where the throughput saturates, or grow."""
        now = self._clock.now()
        saturation = self._throughput.saturation(departure.in_flight, now - departure.at)
        if saturation is not None and saturation < self.limit:
            self._slow_start = False
            # More may pay later, and trying costs time but no refusals: so growth is only held for a moment.
            self._held_until = now + self.HOLD_SECONDS
            self._set_level(ceil(saturation))
        elif now >= self._held_until:
            self._grow(now)

    def _cut(self) -> None:
        level = self.limit * self._duty
        # Without a reply since the last cut this is the same congestion: it says nothing new about the level.
        if self._replies_since_cut:
            # The first cut after slow start comes soon by design and is no reason for more caution.
            frequent = self._replies_since_cut < self.EPISODE_GAP and not self._slow_start
            if frequent:
                self._caution = min(self.MAX_CAUTION, self._caution * 2)
            # Frequent episodes: the way back up is itself too fast, so caution starts right after the cut.
            self._last_level = level
            self._cautious_from = level * (self.DECREASE if frequent else self.NEAR)
        self._slow_start = self._never_refused = False
        # Not again at a limit of 1 before a reply has come: the duty would fall with each refused request.
        if self._replies_since_cut or self.limit > 1:
            self._set_level(level * self.DECREASE)
        self._cut_at = self._calm_since = self._clock.now()
        self._replies_since_cut = 0

    def _grow(self, now: float) -> None:
        level = self.limit * self._duty
        if level > self.BEYOND * self._last_level:
            # The endpoint bears more than it did: what was learned about the old level is void.
            self._last_level, self._cautious_from, self._caution = float("inf"), float("inf"), self.CAUTION
        elif now - self._calm_since > self.CALM_SECONDS:
            self._caution, self._calm_since = max(self.CAUTION, self._caution / 2), now
        self._set_level(level + self._step(level))
        self._wake()

    def _step(self, level: float) -> float:
        """Return what one reply adds to the level."""
        if self._slow_start:
            return 1.0  # for each reply, so the limit doubles in a round
        fast = self.GROWTH * level / self.limit
        return min(fast, level / self._caution) if level >= self._cautious_from else fast

    def _set_level(self, level: float) -> None:
        # Below one request in flight the limit stays at 1, and breaks between requests make up the rest.
        self.limit = min(self._maximum, max(1.0, level))
        self._duty = max(self.MIN_DUTY, min(1.0, level))

    def _wake(self) -> None:
        while self._waiters and self._acquired < int(self.limit):
            waiter = self._waiters.popleft()
            if not waiter.done():
                self._acquired += 1  # here and not in the waiter, so that no newcomer takes the slot first
                waiter.set_result(None)
