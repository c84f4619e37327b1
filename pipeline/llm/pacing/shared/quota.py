"""A quota that several processes share, and a pause.

A state says until when each rate is granted (GCRA, the generic cell rate algorithm of ITU-T I.371, with leases): whoever
wants k units gets the time from then on in which they are due, and puts the end of it there. So nobody is registered, nothing
beats, and a process that dies holds nothing but the rest of its last lease.
"""

import asyncio
import logging
import math
import time
from typing import NamedTuple, Protocol

from pipeline.llm.pacing.quota import MARGIN, Pause
from pipeline.system.clock import Clock

log = logging.getLogger(__name__)

LATE_SECONDS = 0.01
"""How long after its time a lease may still be used, as timers are late; later, others may have used the rate."""

FORGOTTEN_SECONDS = 60.0
"""How long a lower rate than one's own counts after somebody has last used it."""

REQUESTS, TOKENS = range(2)
"""The rates of a state."""


class Lease(NamedTuple):
    """Units of a rate that may be used in their time.

    Attributes:
        wait: In how many seconds their time begins; 0 or less is now.
        seconds: How long it takes.
        units: How many they are.
        rate: The rate, units a second.
    """

    wait: float
    seconds: float
    units: float
    rate: float


class State(Protocol):
    """What the processes share."""

    async def lease(self, field: int, amount: float, rate: float) -> Lease:
        """Lease *amount* units, or more, of a *rate* a second; where others use a lower one, of that."""

    def pause(self, seconds: float) -> None:
        """Pause all processes for at least *seconds* from now."""

    def pause_left(self) -> float:
        """Return for how many seconds all processes are to pause; 0 or less for none."""

    async def close(self) -> None:
        """Let go of it; may be called again."""


class SharedQuota:
    """A rate of *per_minute* units that this process shares with others; it is used like a `Quota`.

    Without a rate of its own it keeps to the one that others have.

    Attributes:
        counts: Whether there is a rate, its own or that of others, as far as is known; else amounts make no difference.
    """

    def __init__(self, state: State, field: int, per_minute: float | None) -> None:
        self._state, self._field = state, field
        self._rate = per_minute / 60 * (1 - MARGIN) if per_minute else math.inf
        self.counts = True
        self._lock = asyncio.Lock()
        self._in_hand, self._until = 0.0, 0.0
        self._warned = False

    def holds(self, amount: float) -> bool:
        """Return whether *amount* units may be used at once."""
        return self._in_hand >= amount and not self._lock.locked() and time.monotonic() <= self._until

    def use(self, amount: float) -> None:
        """Use *amount* units; only right after `holds` returned True."""
        self._in_hand -= amount

    async def take(self, amount: float) -> None:
        """Wait until *amount* units may be used, and use them."""
        async with self._lock:
            if self._in_hand >= amount and time.monotonic() <= self._until:
                self._in_hand -= amount
                return
            lease = await self._state.lease(self._field, amount, self._rate)
            self._until = time.monotonic() + lease.wait + lease.seconds + LATE_SECONDS
            self.counts = lease.rate < math.inf
            self._warn(lease.rate)
            if lease.wait > 0:
                await asyncio.sleep(lease.wait)
            # However late the timer was, what was asked for is used: else a busy process would never get any.
            self._in_hand = lease.units - amount

    def _warn(self, rate: float) -> None:
        if rate < self._rate < math.inf and not self._warned:
            self._warned = True
            log.warning(
                "limits.shared: another run has a lower limit, which holds for all: %.0f %s a minute",
                rate * 60 / (1 - MARGIN),
                ("requests", "tokens")[self._field],
            )


class SharedPause(Pause):
    """A pause that holds for all processes that share a quota."""

    def __init__(self, state: State, clock: Clock) -> None:
        super().__init__(clock)
        self._state = state

    @property
    def seconds_left(self) -> float:
        """Seconds until it ends; 0 or less if there is none."""
        return max(super().seconds_left, self._state.pause_left())

    def extend(self, seconds: float) -> None:
        """Extend the pause to at least *seconds* from now; never shorten it."""
        super().extend(seconds)
        self._state.pause(seconds)
