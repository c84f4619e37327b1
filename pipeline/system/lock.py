"""The right to write something, held by one run at a time: a locked file whose path must go on leading to it.

`flock` does not tell its holder that it was passed over: whoever moves or removes the file lets another run make
and lock a new one. So a lock counts only as long as its path leads to the very file that is locked, and its
holder looks again before it writes what two must not write.
"""

import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pipeline.errors import CannotCreateError, LockedError, PipelineError

TRIES = 5
TRY_SECONDS = 0.01
"""A lock may be held for an instant by somebody who only looks (`holder`), or who is just about to remove it."""

NAME_BYTES = 200


class Lock:
    """A lock on an output, or on the state of one; for one `taken` at a time."""

    def __init__(self, path: Path, output: Path, setting: str, mode: int = 0o600) -> None:
        """Make one that is not taken.

        Args:
            path: The file that is locked; it is there only while somebody has it, or was killed having it.
            output: What is told to be in use.
            setting: The setting to check where the file cannot be made.
            mode: The file's permissions, before the umask.
        """
        self.path = path
        self._output = output
        self._setting = setting
        self._mode = mode
        self._handle = -1
        self._name = f"process {os.getpid()} on {socket.gethostname()}".encode()[:NAME_BYTES]

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Have the lock while the block runs; what the block fails with is a lost lock if the lock was lost.

        Raises:
            LockedError: If somebody else has it, who is named; or if it was lost.
            CannotCreateError: If the file cannot be made or written.
        """
        try:
            self._handle = self._take()
        except OSError as error:
            if holder := self.holder():  # another user's, which we may not open for writing
                raise LockedError(f"{self._output}: in use by {holder}; wait for it, or end it") from error
            raise CannotCreateError(
                f"{self.path}: cannot be written: {error}; check {self._setting}"
            ) from error
        try:
            yield
        except PipelineError as error:
            self._blame(error)
            raise
        finally:
            self._give_back()

    def ensure_held(self) -> None:
        """Make sure that nobody else can have taken the lock; it costs about 5 microseconds.

        Raises:
            LockedError: If the path leads to another file or to none, or somebody else's name is in the file.
        """
        if self._leads_to(self._handle) and self._read(self._handle) == self._name:
            return
        holder = self.holder()
        now = f"{holder} has the output now" if holder else "another run may have the output now"
        raise LockedError(
            f"{self._output}: this run's lock {self.path} was moved or removed, and {now}; "
            "this run writes nothing more, run again to continue"
        )

    def holder(self) -> str | None:
        """Return who has the lock now, or None."""
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

    def _take(self) -> int:
        for _ in range(TRIES):
            handle = os.open(self.path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, self._mode)
            try:
                if self._locked(handle):
                    return handle
            except BaseException:
                os.close(handle)
                raise
            os.close(handle)
            time.sleep(TRY_SECONDS)
        raise LockedError(
            f"{self._output}: in use by {self.holder() or 'another run'}; wait for it, or end it"
        )

    def _locked(self, handle: int) -> bool:
        """Lock the open file and put the name in, unless another one has it or it is no longer at the path."""
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        if not self._leads_to(handle):  # its holder removed it after we had opened it
            return False
        os.ftruncate(handle, 0)
        os.pwrite(handle, self._name, 0)
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

    def _blame(self, error: PipelineError) -> None:
        """Raise that the lock was lost, if it was: whatever else went wrong is likely to come from that."""
        if isinstance(error, LockedError):
            return
        try:
            self.ensure_held()
        except LockedError as lost:
            raise LockedError(*lost.problems, *error.problems) from error

    def _give_back(self) -> None:
        with suppress(OSError):
            if self._leads_to(self._handle):
                self.path.unlink()
        os.close(self._handle)
        self._handle = -1
