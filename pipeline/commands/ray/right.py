"""The right of a worker to send, and the clock of who grants it. No two clocks are ever compared."""

import math
import time
from collections.abc import Callable
from pathlib import Path

from pipeline.commands.ray.quota import Term
from pipeline.errors import LockedError
from pipeline.storage import Leash

SEND_SECONDS = 10.0
"""How long a worker may send after it has asked for something that its run has answered."""

LIVE_SECONDS = 15.0
"""How long it lives: until then what was in flight has come in and is saved; from then on it writes nothing either."""

TAKEN_OVER_SECONDS = 16.0
"""How long nothing must have been heard of a worker before another has its slice. No two clocks are compared: the worker
counts from before it has asked, the run from after it was asked."""

DRIFT = 0.0002
"""How fast two clocks may go apart, seconds a second."""


class Clocks:
    """Another process's clock in terms of one's own, as narrow as the quickest of the replies from there tells."""

    def __init__(self) -> None:
        self._low, self._high, self._at = -math.inf, math.inf, 0.0

    def see(self, asked: float, theirs: float, came: float) -> None:
        """Learn that their clock was at *theirs* some time between *asked* and *came*."""
        drift = DRIFT * (came - self._at)
        self._low = max(self._low - drift, asked - theirs)
        self._high = min(self._high + drift, came - theirs)
        self._at = came
        if self._low > self._high:  # one of the machines has slept
            self._low, self._high = asked - theirs, came - theirs

    def not_before(self, theirs: float) -> float:
        """Return a time at which theirs certainly is at *theirs*, or later."""
        return theirs + self._high

    def not_after(self, theirs: float) -> float:
        """Return a time at which theirs certainly is no later than at *theirs*."""
        return theirs + self._low


class Right:
    """The right of a worker to send; it is held like a lock."""

    def __init__(self, term: Term, now: Callable[[], float] = time.monotonic) -> None:
        self._term, self._now = term, now
        self._asked = -math.inf

    def renew(self, asked: float) -> None:
        """Renew it: what was asked for at the time *asked* was answered."""
        self._asked = max(self._asked, asked)

    @property
    def age(self) -> float:
        """Seconds since it was renewed."""
        return self._now() - self._asked

    def ensure_held(self) -> None:
        """Check that no other worker can have the slice.

        Raises:
            LockedError: If one may.
        """
        if self.age > SEND_SECONDS:
            raise LockedError(f"slice {self._term.number}: its run was not heard of for {SEND_SECONDS:g} s")

    def leashes(self, _: Path) -> list[Leash]:
        """Return nothing: a worker on a cluster starts no processes that would have to see it."""
        return []
