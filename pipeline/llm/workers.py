"""The dispatcher's tasks, which start and end together."""

import asyncio
from collections.abc import Callable, Coroutine


class WorkerPool:
    """Tasks that work until the pool is shut down; calls in flight are waited for, because they will be billed.

    Attributes:
        closing: Whether no task may begin anything more.
        sending: The tasks with a call in flight that may be billed; each adds and removes itself.
    """

    def __init__(self, stop: Callable[[BaseException], None]) -> None:
        """Make an empty pool; *stop* is called with the error of each task that fails."""
        self.closing = False
        self.sending: set[asyncio.Task[None]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._stop = stop

    def spawn(self, work: Coroutine[None, None, None]) -> None:
        """Run *work* in a task of its own."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._on_done)

    async def shutdown(self, seconds: float) -> None:
        """End all tasks; those that are sending get up to *seconds* to finish."""
        self.closing = True
        for task in self._tasks - self.sending:
            task.cancel()
        if self.sending and seconds > 0:
            await asyncio.wait(set(self.sending), timeout=seconds)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self.sending.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._stop(error)
