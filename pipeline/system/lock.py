"""A lock file: the right to write something, held by one process at a time.

`flock` does not notify its holder when the file is moved or removed, and another process can then create and lock a
new one. A lock therefore counts only while its path leads to the very file that is locked, and its holder checks
that again before each write that two processes must not both make.
"""

import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from pipeline.errors import CannotCreateError, LockedError, PipelineError
from pipeline.system.atomic import make_private

TRIES = 5
TRY_SECONDS = 0.01
"""A lock can be held for an instant by a process that only asks for its `holder`, or that is about to remove it."""

NAME_BYTES = 200


class Lock:
    """A lock on an output or on its state; one `held` block at a time."""

    def __init__(self, path: Path, output: object, setting: str, mode: int = 0o600) -> None:
        """Create a lock that is not held.

        Args:
            path: The file to lock; it exists only while the lock is held, or after its holder was killed.
            output: What error messages call in use.
            setting: The setting to check if the file cannot be created.
            mode: The file's permissions, before the umask.
        """
        self.path = path
        self._output = output
        self._setting = setting
        self._mode = mode
        self._handle = -1
        self.name = f"process {os.getpid()} on {socket.gethostname()}".encode()[:NAME_BYTES].decode(
            errors="ignore"
        )

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock while the block runs; a block that fails after the lock was lost fails with LockedError.

        Raises:
            LockedError: If another process holds it, which is named; or if it was lost.
            CannotCreateError: If the file cannot be created or written.
        """
        try:
            self._handle = self._acquire()
        except OSError as error:
            if holder := self.holder():  # another user's file, which we cannot open for writing
                raise LockedError(f"{self._output}: in use by {holder}; wait for it, or end it") from error
            raise CannotCreateError(
                f"{self.path}: cannot be written: {error}; check {self._setting}"
            ) from error
        try:
            yield
        except PipelineError as error:
            self._raise_if_lost(error)
            raise
        finally:
            self._release()

    def ensure_held(self) -> None:
        """Check that no other process can hold the lock; takes about 5 microseconds.

        Raises:
            LockedError: If the path leads to another file or to none, or the file names another process.
        """
        if self._leads_to(self._handle) and self._read(self._handle) == self.name.encode():
            return
        holder = self.holder()
        now = f"{holder} has the output now" if holder else "another run may have the output now"
        raise LockedError(
            f"{self._output}: this run's lock {self.path} was moved or removed, and {now}; "
            "this run writes nothing more, run again to continue"
        )

    def leashes(self, _: Path) -> "list[Leash]":
        """Return what another process needs to see whether this one still holds the lock."""
        return [Leash(self.path, self._output, self.name)]

    def holder(self) -> str | None:
        """Return which process holds the lock now, or None."""
        try:
            handle = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW)
        except OSError:
            return None
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return self._read(handle).decode(errors="replace") or "another run"
        finally:
            os.close(handle)
        return None

    def _acquire(self) -> int:
        for _ in range(TRIES):
            handle = os.open(self.path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, self._mode)
            try:
                if self._try_lock(handle):
                    return handle
            except BaseException:
                os.close(handle)
                raise
            os.close(handle)
            time.sleep(TRY_SECONDS)
        raise LockedError(
            f"{self._output}: in use by {self.holder() or 'another run'}; wait for it, or end it"
        )

    def _try_lock(self, handle: int) -> bool:
        """Lock the open file and write our name to it, unless it is locked or no longer at the path."""
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        if not self._leads_to(handle):  # its holder removed it between our `open` and `flock`
            return False
        os.ftruncate(handle, 0)
        os.pwrite(handle, self.name.encode(), 0)
        return True

    def _leads_to(self, handle: int) -> bool:
        try:
            return os.path.samestat(os.lstat(self.path), os.fstat(handle))
        except OSError:
            return False

    @staticmethod
    def _read(handle: int) -> bytes:
        try:
            return os.pread(handle, NAME_BYTES, 0)
        except OSError:
            return b""

    def _raise_if_lost(self, error: PipelineError) -> None:
        """Raise LockedError if the lock was lost, since any other error is probably its consequence."""
        if isinstance(error, LockedError):
            return
        try:
            self.ensure_held()
        except LockedError as lost:
            raise LockedError(*lost.problems, *error.problems) from error

    def _release(self) -> None:
        with suppress(OSError):
            # Another process may have its own lock file there by now.
            if self._leads_to(self._handle):
                self.path.unlink()
        os.close(self._handle)
        self._handle = -1


class Leash:
    """A lock as a process sees it that works for its holder: it has the right as long as that process holds the lock."""

    def __init__(self, path: Path, output: object, name: str) -> None:
        self._path, self._output, self._name = path, output, name

    def ensure_held(self) -> None:
        """Check that the process still holds the lock.

        Raises:
            LockedError: If it does not.
        """
        if Lock(self._path, self._output, "").holder() != self._name:
            raise LockedError(f"{self._output}: {self._name}, whose run this is, has ended or lost its lock")


@contextmanager
def flocked(folder: Path, how: int, taken: str) -> Iterator[None]:
    """Keep *folder*, which is made if need be, locked while the block runs: *how* is a flag of `flock`.

    Raises:
        LockedError: If another process keeps it so that this one may not; *taken* says why.
        CannotCreateError: If it cannot be made.
    """
    with ExitStack() as stack:
        try:
            make_private(folder)
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            stack.callback(os.close, handle)
            fcntl.flock(handle, how | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise LockedError(f"{folder.parent}: {taken}") from error
        except OSError as error:
            raise CannotCreateError(f"{folder}: cannot be written: {error}; check state.dir") from error
        yield
