"""Work that touches the disk, in threads: it cannot be cancelled, only waited for."""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from pipeline.errors import DiskError

T = TypeVar("T")


class Threads:
    """Runs functions in threads and remembers which are still at work."""

    def __init__(self) -> None:
        self._working: set[asyncio.Future[Any]] = set()

    async def run(self, function: Callable[..., T], *args: object) -> T:
        """Return what *function* returns.

        Raises:
            DiskError: Instead of an OSError.
        """
        future = asyncio.ensure_future(asyncio.to_thread(function, *args))
        self._working.add(future)
        future.add_done_callback(self._working.discard)
        try:
            return await asyncio.shield(future)
        except OSError as error:
            raise DiskError(f"{error}; make room or repair the disk, then run again to continue") from error

    async def finish(self) -> None:
        """Wait until nothing is at work, whatever comes of it."""
        await asyncio.gather(*self._working, return_exceptions=True)
