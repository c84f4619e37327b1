"""Counts of the calls of the last seconds: with a reply, and failed."""

from collections import deque
from dataclasses import dataclass

from pipeline.system.clock import Clock


@dataclass(slots=True)
class _Second:
    """The calls that ended within one second of the clock."""

    at: int
    replies: int = 0
    failures: int = 0


class SlidingWindow:
    """Counts of the calls of the last *seconds*, to whole seconds."""

    def __init__(self, seconds: int, clock: Clock) -> None:
        self._length, self._clock = seconds, clock
        self._seconds: deque[_Second] = deque()

    @property
    def replies(self) -> int:
        """Calls with a reply."""
        self._forget()
        return sum(second.replies for second in self._seconds)

    @property
    def failures(self) -> int:
        """Calls without one."""
        self._forget()
        return sum(second.failures for second in self._seconds)

    def count(self, *, replied: bool) -> None:
        """Count a call that has just ended."""
        second = self._current()
        second.replies += replied
        second.failures += not replied

    def clear(self) -> None:
        """Drop all counts."""
        self._seconds.clear()

    def _current(self) -> _Second:
        at = int(self._clock.now())
        if not self._seconds or self._seconds[-1].at != at:
            self._forget()
            self._seconds.append(_Second(at))
        return self._seconds[-1]

    def _forget(self) -> None:
        """Drop the calls that are too old."""
        # Also when counts are read: where nothing is called, nothing is counted, and old replies would stay for ever.
        oldest = int(self._clock.now()) - self._length
        while self._seconds and self._seconds[0].at <= oldest:
            self._seconds.popleft()
