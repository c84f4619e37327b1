"""How many calls of the last seconds got a reply, and how many failed."""

from collections import deque
from dataclasses import dataclass

from pipeline.system.clock import Clock


@dataclass(slots=True)
class _Second:
    """What happened within one second."""

    at: int
    replies: int = 0
    failures: int = 0


class SlidingWindow:
    """Counts calls and forgets them after *seconds*."""

    def __init__(self, seconds: int, clock: Clock) -> None:
        self._length, self._clock = seconds, clock
        self._seconds: deque[_Second] = deque()

    @property
    def replies(self) -> int:
        """Calls with a reply."""
        return sum(second.replies for second in self._seconds)

    @property
    def failures(self) -> int:
        """Calls without one."""
        return sum(second.failures for second in self._seconds)

    def count(self, *, replied: bool) -> None:
        """Count a call that has just ended."""
        second = self._now()
        second.replies += replied
        second.failures += not replied

    def clear(self) -> None:
        """Forget all of them."""
        self._seconds.clear()

    def _now(self) -> _Second:
        at = int(self._clock.now())
        if not self._seconds or self._seconds[-1].at != at:
            self._seconds.append(_Second(at))
            while self._seconds[0].at <= at - self._length:
                self._seconds.popleft()
        return self._seconds[-1]
