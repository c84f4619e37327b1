"""Deadlines of calls, watched by one timer for all of them."""

import asyncio

TICK_SECONDS = 0.05
ASLEEP_SECONDS = 1.0
"""A timer that is later than this was delayed because the process was asleep, not because it was busy."""


class Deadlines:
    """The deadlines of tasks on the running event loop.

    One timer checks all of them every TICK_SECONDS, which costs less than a timer for each.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._expires_at: dict[asyncio.Task[object], float] = {}
        self._expired: set[asyncio.Task[object]] = set()
        self._due_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, task: asyncio.Task[object], seconds: float) -> None:
        """Cancel *task* unless it calls `end` within *seconds*."""
        self._expires_at[task] = self._loop.time() + seconds
        if self._timer is None:
            self._schedule()

    def end(self, task: asyncio.Task[object]) -> bool:
        """Drop the deadline of *task*, and return whether it had expired and the task was cancelled for it."""
        self._expires_at.pop(task, None)
        if task not in self._expired:
            return False
        self._expired.remove(task)
        return True

    def _schedule(self) -> None:
        self._due_at = self._loop.time() + TICK_SECONDS
        self._timer = self._loop.call_at(self._due_at, self._check)

    def _check(self) -> None:
        now = self._loop.time()
        late = now - self._due_at
        # After a sleep all deadlines are past before what has arrived meanwhile is read: calls that were answered
        # long ago would be given up, and billed twice.
        if late > ASLEEP_SECONDS:
            self._expires_at = {task: at + late for task, at in self._expires_at.items()}
        for task in [task for task, at in self._expires_at.items() if at <= now]:
            del self._expires_at[task]
            self._expired.add(task)
            task.cancel()
        self._timer = None
        if self._expires_at:
            self._schedule()
