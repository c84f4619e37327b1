"""The state of a quota that processes on one machine share: a small file under a lock."""

import fcntl
import logging
import math
import os
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b
from pathlib import Path

from pipeline.errors import CannotCreateError
from pipeline.llm.pacing.shared.quota import FORGOTTEN_SECONDS, Lease
from pipeline.system.atomic import make_private

log = logging.getLogger(__name__)

LEASE_SECONDS = 0.02
"""What a process takes at once: so much of the rate stays unused when it dies."""

LOCK_SECONDS = 1.0
"""How long the lock is waited for before the file is used without: whoever holds it has been stopped."""

_FIELDS = struct.Struct("=24s7d")
_MAGIC = b"pipeline"
_PAUSE = struct.Struct("=24x16xd")
"""The fields up to until when all pause, which alone is looked at before each request."""

PAUSE, RATE, SAID = 2, 3, 5
"""Fields of the file, after those until when each rate is granted: until when all pause; and, each once for REQUESTS and once
for TOKENS, the lowest rate that somebody uses, in units a second, and when it was last used."""


def shared_file(name: str) -> Path:
    """Return the file of the quota called *name*: this user's, gone after a restart of the machine where possible.

    An absolute path is the file itself.
    """
    if os.path.isabs(name):  # noqa: PTH117 - it is a name
        return Path(name)
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    folder = Path(runtime) if runtime else Path.home() / ".local/state"
    return folder / "pipeline" / f"quota-{blake2b(name.encode(), digest_size=8).hexdigest()}"


class FileState:
    """The file that the processes share.

    Times in it are seconds since the machine was started, which all processes agree on, and which no clock change moves.
    """

    def __init__(self, path: Path, now: Callable[[], float] | None = None) -> None:
        """Open the file at *path*, or create it.

        Raises:
            CannotCreateError: If it cannot be created.
        """
        self._now = now or (lambda: time.clock_gettime(time.CLOCK_BOOTTIME))
        self._header = _MAGIC + _boot_id()
        self._path = path
        self._patient = True
        try:
            self._file = self._open()
        except OSError as error:
            raise CannotCreateError(f"limits.shared: {path}: cannot be written: {error}") from error

    def _open(self) -> int:
        make_private(self._path.parent)
        return os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)

    async def lease(self, field: int, amount: float, rate: float) -> Lease:
        """Lease *amount* units, or more, of a *rate* a second; where others use a lower one, of that."""
        with self._locked():
            values, now = self._read(), self._now()
            lowest, said = values[field + RATE], values[field + SAID]
            if not 0 < lowest < rate or said < now - FORGOTTEN_SECONDS:
                lowest = rate
            if lowest == rate:  # somebody with a higher one must not keep it in force for ever
                values[field + RATE], values[field + SAID] = rate, now
            units = max(amount, float(int(lowest * LEASE_SECONDS))) if lowest < math.inf else math.inf
            seconds = units / lowest if lowest < math.inf else LEASE_SECONDS
            start = max(now, values[field])
            if lowest < math.inf:
                values[field] = start + seconds
            self._write(values)
        return Lease(start - now, seconds, units, lowest)

    def pause(self, seconds: float) -> None:
        """Pause all processes for at least *seconds* from now."""
        with self._locked():
            values = self._read()
            values[PAUSE] = max(values[PAUSE], self._now() + seconds)
            self._write(values)

    def pause_left(self) -> float:
        """Return for how many seconds all processes are to pause; 0 or less for none."""
        content = os.pread(self._file, _PAUSE.size, 0)
        if not content.startswith(self._header) or len(content) < _PAUSE.size:
            return 0.0
        return float(_PAUSE.unpack(content)[0] - self._now())

    def _read(self) -> list[float]:
        content = os.pread(self._file, _FIELDS.size, 0)
        if len(content) == _FIELDS.size:
            header, *values = _FIELDS.unpack(content)
            if header == self._header:
                return values
        return [0.0] * 7  # new, or of before the machine's last start

    def _write(self, values: list[float]) -> None:
        os.pwrite(self._file, _FIELDS.pack(self._header, *values), 0)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the lock while the block runs, on the file that is at the path: it may have been removed."""
        self._lock()
        with suppress(OSError):
            while not self._is_there():
                file = self._open()
                os.close(self._file)
                self._file = file
                self._lock()
        try:
            yield
        finally:
            with suppress(OSError):
                fcntl.flock(self._file, fcntl.LOCK_UN)

    def _is_there(self) -> bool:
        try:
            return os.path.samestat(os.lstat(self._path), os.fstat(self._file))
        except FileNotFoundError:
            return False

    def _lock(self) -> None:
        # Once it was waited for in vain, this is only tried: the event loop waits along.
        deadline = time.monotonic() + (LOCK_SECONDS if self._patient else 0.0)
        while True:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() < deadline:
                    time.sleep(0.0002)
                    continue
                if self._patient:
                    log.warning(
                        "%s: is locked by a process that does not go on; used without the lock", self._path
                    )
                self._patient = False
                return
            self._patient = True
            return

    async def close(self) -> None:
        """Close the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _boot_id() -> bytes:
    try:
        return bytes.fromhex(Path("/proc/sys/kernel/random/boot_id").read_text().strip().replace("-", ""))
    except (OSError, ValueError):
        return bytes(16)
