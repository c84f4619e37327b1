"""The tasks of an dispatcher: they end together, but what may have to be paid for is waited for."""

import asyncio
from collections.abc import Callable, Coroutine


class WorkerPool:
    """Tasks that work until they are dismissed.

    Attributes:
        closing: Whether nothing more may be begun.
        sending: The tasks that may have something to pay for; they put themselves in and take themselves out.
    """

    def __init__(self, stop: Callable[[BaseException], None]) -> None:
        """Make one; *stop* is called with what a task fails with."""
        self.closing = False
        self.sending: set[asyncio.Task[None]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._stop = stop

    def spawn(self, work: Coroutine[None, None, None]) -> None:
        """Have one more task do *work*."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    async def shutdown(self, seconds: float) -> None:
        """End all tasks; those that are sending have so many *seconds* until they are given up."""
        self.closing = True
        for task in self._tasks - self.sending:
            task.cancel()
        if self.sending and seconds > 0:
            await asyncio.wait(set(self.sending), timeout=seconds)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self.sending.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._stop(error)
