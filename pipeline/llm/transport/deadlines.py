"""Calls that take too long are given up.

One timer looks after all of them, which costs less than one for each. And it notices when the process was
asleep: then all timers are due at once, before what has arrived meanwhile is read, and calls that were answered
long ago would be given up, and paid for twice.
"""

import asyncio

TICK_SECONDS = 0.05
ASLEEP_SECONDS = 1.0
"""A look that comes later than this was held up by a sleep, not by work."""


class Deadlines:
    """When each call is given up; for one event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._until: dict[asyncio.Task[object], float] = {}
        self._given_up: set[asyncio.Task[object]] = set()
        self._looks_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, task: asyncio.Task[object], seconds: float) -> None:
        """Cancel *task* unless it calls `end` within so many *seconds*."""
        self._until[task] = self._loop.time() + seconds
        if self._timer is None:
            self._wait()

    def end(self, task: asyncio.Task[object]) -> bool:
        """Leave *task* alone from now on; tell whether it was cancelled for taking too long."""
        self._until.pop(task, None)
        if task not in self._given_up:
            return False
        self._given_up.remove(task)
        return True

    def _wait(self) -> None:
        self._looks_at = self._loop.time() + TICK_SECONDS
        self._timer = self._loop.call_at(self._looks_at, self._look)

    def _look(self) -> None:
        now = self._loop.time()
        late = now - self._looks_at
        if late > ASLEEP_SECONDS:
            self._until = {task: until + late for task, until in self._until.items()}
        for task in [task for task, until in self._until.items() if until <= now]:
            del self._until[task]
            self._given_up.add(task)
            task.cancel()
        self._timer = None
        if self._until:
            self._wait()
