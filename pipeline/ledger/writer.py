"""The ledger as the event loop uses it: group commit in a thread.

The loop never touches the disk. Answers gather for COMMIT_SECONDS, or until there are COMMIT_ANSWERS, and are committed
as one group by the ledger's thread; only then is `on_durable` called with them. While one group is written the next
one gathers, so that a slow disk gets larger groups and not more of them.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

from pipeline.errors import CannotCreateError, ConfigError, DiskError, PipelineError
from pipeline.ledger import spill
from pipeline.ledger.opening import FILE, ledger_error, open_store
from pipeline.ledger.store import RunTotals, Store
from pipeline.records import Answer, Answers

COMMIT_SECONDS = 0.05
"""How long a group gathers. A commit costs a sync, whatever its size, and a crash costs the answers that gather."""

COMMIT_ANSWERS = 500
"""A group of this size is committed without waiting longer."""

MAX_GATHERED = 1_000
"""With this many waiting for the disk, `append` waits: neither memory nor the cost of a crash may grow with a slow disk."""

T = TypeVar("T")
Durable = Callable[[Sequence[Answer]], None]


class Ledger:
    """An open ledger, for one event loop; made by `Ledger.open`.

    Attributes:
        failure: Why answers cannot be written any more; None as long as they can.
    """

    def __init__(
        self, store: Store, folder: Path, on_durable: Durable, on_failure: Callable[[BaseException], None]
    ) -> None:
        self._store = store
        self._folder = folder
        self._on_durable = on_durable
        self._on_failure = on_failure
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ledger")
        self._gathering: list[Answer] = []
        self._committing: list[Answer] = []
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._overdue = False  # whether to commit again once the running commit is over
        self._room = asyncio.Event()
        self._room.set()
        self.failure: PipelineError | None = None

    @classmethod
    @asynccontextmanager
    async def open(
        cls, folder: Path, *, on_durable: Durable, on_failure: Callable[[BaseException], None]
    ) -> "AsyncIterator[Ledger]":
        """Open the ledger in *folder* while the block runs, and make everything appended durable at its end.

        Args:
            folder: The state directory.
            on_durable: Called on the loop with each group of answers once it is durable.
            on_failure: Called on the loop when the disk fails. The answers are kept, in memory or in a spill file.

        Raises:
            ConfigError: If it is of another format.
            CannotCreateError: If the file cannot be created or is not a ledger.
            DiskError: At the block's end, if something could only be saved to the spill file, or not at all.
        """
        ledger = cls(open_store(folder), folder, on_durable, on_failure)
        try:
            await ledger.look_up([])  # adds what a killed run has appended to the index
            yield ledger
        finally:
            await ledger._close()

    async def append(self, *answers: Answer) -> None:
        """Add paid answers to the group that gathers, all to the same; wait only if the disk is far behind."""
        self._gathering += answers
        if len(self._gathering) >= COMMIT_ANSWERS:
            self._commit()
        elif self._timer is None and not self._overdue:
            self._timer = asyncio.get_running_loop().call_later(COMMIT_SECONDS, self._commit)
        if len(self._gathering) >= MAX_GATHERED and self.failure is None:
            self._room.clear()
        if not self._room.is_set():
            await self._room.wait()

    async def look_up(self, keys: Sequence[bytes]) -> Answers:
        """Return the newest durable answer of each of *keys* that has one.

        Raises:
            DiskError: If the file cannot be read.
        """
        return await self._in_thread(self._store.look_up, keys)

    async def starting_with(self, prefix: bytes) -> Answers:
        """Return the newest durable answer of each key that starts with *prefix*."""
        return await self._in_thread(self._store.starting_with, prefix)

    async def spent(self, run: str) -> float:
        """Return the US dollars that *run* has paid so far."""
        return await self._in_thread(self._store.spent, run)

    async def paid(self, run: str) -> RunTotals:
        """Return what *run* has paid for so far."""
        found = await self._in_thread(self._store.totals, run)
        return found[0] if found else RunTotals(run, 0, 0, 0, 0.0)

    async def flush(self) -> None:
        """Wait until every answer so far is durable, or its commit has failed."""
        self._commit()
        while self._task is not None:
            self._overdue = True  # commit what has gathered since, too
            await asyncio.wait({self._task})

    def _commit(self) -> None:
        """Start to commit the group that has gathered: now, or as soon as the group before it is durable."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._overdue = self._task is not None
        if self._overdue or not self._gathering or self.failure is not None:
            return
        self._committing, self._gathering = self._gathering, []
        self._room.set()
        self._task = asyncio.get_running_loop().create_task(self._make_durable(self._committing))
        self._task.add_done_callback(self._committed)

    async def _make_durable(self, group: list[Answer]) -> None:
        try:
            ballast_dropped = await self._in_thread(self._append, group)
        except BaseException as error:
            self._gathering = group + self._gathering  # it was paid for: `_save_rest` spills it
            if not isinstance(error, Exception):
                raise
            self.failure = error if isinstance(error, PipelineError) else ledger_error(self._folder, error)
            self._room.set()
            self._on_failure(error)
        else:
            if ballast_dropped:  # there is room for what is in flight, and for nothing more
                self._on_failure(
                    DiskError(f"{self._folder / FILE}: the disk is full; make room, then run again")
                )
            self._on_durable(group)

    def _append(self, group: list[Answer]) -> bool:
        """Append *group*; if the disk is full, drop the ballast and try once more. Return whether it was dropped."""
        try:
            self._store.append(group)
        except sqlite3.Error as error:
            if "full" not in str(error) or not spill.drop_ballast(self._folder):
                raise
            self._store.append(group)
            return True
        return False

    def _committed(self, task: asyncio.Task[None]) -> None:
        self._task, self._committing = None, []
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_failure(error)
        if self._overdue:
            self._commit()

    async def _in_thread(self, function: Callable[..., T], *args: object) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, function, *args)
        except (sqlite3.Error, OSError) as error:
            raise ledger_error(self._folder, error) from error
        except (CannotCreateError, ConfigError) as error:  # the file was replaced by one that is not a ledger
            raise DiskError(*error.problems) from error

    async def _close(self) -> None:
        try:
            await self.flush()
        finally:
            self._thread.shutdown()
            try:
                self._save_rest()
            finally:
                self._store.close()

    def _save_rest(self) -> None:
        """Append what a cancelled `flush` has left, and spill what cannot be appended."""
        rest = [*self._committing, *self._gathering]
        if not rest:
            return
        failure = self.failure
        if failure is None:  # a disk that failed may call the next sync a success although it lost the data
            try:
                self._append(rest)
            except PipelineError as error:
                failure = DiskError(*error.problems)
            except (sqlite3.Error, OSError) as error:
                failure = ledger_error(self._folder, error)
        if failure is not None:
            raise type(failure)(*failure.problems, spill.spill(self._folder, rest))
