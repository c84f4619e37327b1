"""Reading runs ahead in a thread of its own, and waits when nobody takes what it read."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
_END = object()


async def prefetch(items: Iterator[T], ahead: int = 2) -> AsyncGenerator[T, None]:
    """The items of `items`, in order, taken from it in one worker thread.

    At most `ahead` items are read and not yet handed over. An exception of `items` comes out here.
    However this ends, `items` is closed (in its thread) and the thread is gone; close it with
    `contextlib.aclosing` where the loop over it may stop early.
    """
    thread = ThreadPoolExecutor(1, thread_name_prefix="input")
    waiting = deque(thread.submit(next, items, _END) for _ in range(ahead))
    try:
        while (item := await asyncio.wrap_future(waiting[0])) is not _END:
            waiting.popleft()
            waiting.append(thread.submit(next, items, _END))
            yield item  # type: ignore[misc]  # all that is not _END is a T
    finally:
        await _stop(thread, waiting, items)


async def _stop(thread: ThreadPoolExecutor, waiting: deque[Future[object]], items: Iterator[T]) -> None:
    for future in waiting:
        future.cancel()
    close = getattr(items, "close", None)
    # The one worker takes its turns in order, so a generator is never closed while it runs.
    closed = thread.submit(close) if close else thread.submit(int)
    thread.shutdown(wait=False)
    await asyncio.shield(asyncio.wrap_future(closed))
