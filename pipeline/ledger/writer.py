"""The durable store of all answers ever paid for, seen from the event loop.

The loop never touches the disk: one thread does, in sets. Answers gather for at most COMMIT_SECONDS or
COMMIT_ANSWERS and become durable together; only then does anybody hear of them. While one set is written the
next one gathers, so that a disk that is slow gets larger sets and not more of them.
"""

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TypeVar

from pipeline.errors import CannotCreateError, ConfigError, DiskError, PipelineError
from pipeline.ledger import spill
from pipeline.ledger.store import Store
from pipeline.records import Answer, Answers
from pipeline.system.atomic import make_private

COMMIT_SECONDS = 0.05
COMMIT_ANSWERS = 500
MAX_GATHERED = 1_000
"""With so many waiting for the disk the workers wait too: neither the memory nor what a crash costs may grow."""

FILE = "ledger.sqlite"

T = TypeVar("T")
Durable = Callable[[Sequence[Answer]], None]


class Ledger:
    """An open ledger. Make one with `Ledger.open`; use it from one event loop."""

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
        self._overdue = False
        self._room = asyncio.Event()
        self._room.set()
        self.failure: DiskError | None = None

    @classmethod
    @asynccontextmanager
    async def open(
        cls, folder: Path, *, on_durable: Durable, on_failure: Callable[[BaseException], None]
    ) -> "AsyncIterator[Ledger]":
        """Open the ledger in *folder*; what is still in hand at the end is made durable.

        Args:
            folder: The state directory.
            on_durable: Called on the loop with each group of answers once they are durable.
            on_failure: Called on the loop when the disk fails; no answer is lost by that.

        Raises:
            ConfigError: If it is of another format.
            CannotCreateError: If the file cannot be made or is no ledger.
            DiskError: When leaving, if something could only be saved to the spill file, or not at all.
        """
        ledger = cls(open_store(folder), folder, on_durable, on_failure)
        try:
            await ledger.look_up([])
            yield ledger
        finally:
            await ledger._close()

    async def append(self, answer: Answer) -> None:
        """Hand over a paid answer; waits only if the disk is far behind."""
        self._gathering.append(answer)
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

    async def spent(self, run: str) -> float:
        """Return the US dollars that *run* has paid so far."""
        return await self._in_thread(self._store.spent, run)

    async def flush(self) -> None:
        """Wait until everything handed over is durable, or has failed to be."""
        self._commit()
        while self._task is not None:
            self._overdue = True  # whatever has gathered meanwhile
            await asyncio.wait({self._task})

    @property
    def damaged(self) -> int:
        """Number of stored answers that were found damaged and count as absent."""
        return self._store.damaged

    def _commit(self) -> None:
        """Have what has gathered made durable: now, or as soon as the set before it is."""
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
            self._gathering = group + self._gathering  # whatever went wrong: it was paid for
            if not isinstance(error, Exception):
                raise
            self.failure = error if isinstance(error, DiskError) else disk_error(self._folder, error)
            self._room.set()
            self._on_failure(error)
        else:
            if ballast_dropped:  # what is in flight has room now; nothing new may be sent
                self._on_failure(
                    DiskError(f"{self._folder / FILE}: the disk is full; make room, then run again")
                )
            self._on_durable(group)

    def _append(self, group: list[Answer]) -> bool:
        """Append; on a full disk, once more with the ballast thrown out, and say so."""
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
            raise disk_error(self._folder, error) from error
        except (CannotCreateError, ConfigError) as error:  # somebody has put another file there
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
        """Keep what could not be made durable, or what a cancelled `flush` has left."""
        rest = [*self._committing, *self._gathering]
        if not rest:
            return
        failure = self.failure
        if failure is None:
            try:
                self._append(rest)
            except PipelineError as error:
                failure = DiskError(*error.problems)
            except (sqlite3.Error, OSError) as error:
                failure = disk_error(self._folder, error)
        if failure is not None:
            raise DiskError(*failure.problems, spill.spill(self._folder, rest))


def open_store(folder: Path) -> Store:
    """Open the ledger file in *folder*, take in what an earlier run had to spill, and renew the ballast.

    Raises:
        ConfigError: If it is of another format.
        CannotCreateError: If the file cannot be made or is no ledger.
        DiskError: If there is no room for what had been spilled; it stays where it is.
    """
    path = folder / FILE
    try:
        make_private(folder)
        store = Store(path)
    except (sqlite3.Error, OSError) as error:
        raise CannotCreateError(f"{path}: cannot be opened as a ledger: {error}; check state.dir") from error
    try:
        spill.ingest_spilled(folder, store)
        spill.renew_ballast(folder)
    except (sqlite3.Error, OSError) as error:
        store.close()
        raise disk_error(folder, error) from error
    except PipelineError:
        store.close()
        raise
    return store


@contextmanager
def opened(folder: Path) -> Iterator[Store | None]:
    """Give the ledger in *folder* to a command that looks after it; None if there is none yet.

    Raises:
        CannotCreateError: If the file is no ledger, or the folder is somebody else's.
        DiskError: If it cannot be read or written.
    """
    if folder.exists() and not os.access(folder, os.R_OK | os.X_OK):
        raise CannotCreateError(f"{folder}: cannot be read; check its permissions, or who you are")
    if not any(folder.glob(f"{FILE}*")):  # not the file alone: a salvage may have been interrupted
        yield None
        return
    with open_store(folder) as store:
        try:
            yield store
        except sqlite3.Error as error:
            raise disk_error(folder, error) from error


def disk_error(folder: Path, error: Exception) -> DiskError:
    """Return what to tell about *error* from the ledger in *folder*."""
    fix = "make room" if "full" in str(error) or "No space" in str(error) else "repair the disk"
    return DiskError(f"{folder / FILE}: {error}; {fix}, then run again")
