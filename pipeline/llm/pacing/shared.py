"""A quota that several processes on one machine share: a small file under a lock.

The file says until when each rate is granted (GCRA, the generic cell rate algorithm of ITU-T I.371, with leases): whoever
wants k units gets the time from then on in which they are due, and puts the end of it there. So nobody is registered, nothing
beats, and a process that dies holds nothing but the rest of its last lease.
"""

import asyncio
import fcntl
import logging
import os
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b
from pathlib import Path

from pipeline.errors import CannotCreateError
from pipeline.llm.pacing.quota import MARGIN, Pause
from pipeline.system.atomic import make_private
from pipeline.system.clock import Clock

log = logging.getLogger(__name__)

LEASE_SECONDS = 0.02
"""What a process takes at once: so much of the rate stays unused when it dies."""

LATE_SECONDS = 0.01
"""How long after its time a lease may still be used, as timers are late; later, others may have used the rate."""

FORGOTTEN_SECONDS = 60.0
"""How long after the last lease what others have said about the rates counts."""

LOCK_SECONDS = 1.0
"""How long the lock is waited for before the file is used without: whoever holds it has been stopped."""

_FIELDS = struct.Struct("=8s16sddddd")
_MAGIC = b"pipeline"
REQUESTS, TOKENS, PAUSE = range(3)
"""Fields of the file: until when each rate is granted, and until when all pause; after them come the two rates."""


def shared_file(name: str) -> Path:
    """Return the file of the quota called *name*: this user's, gone after a restart of the machine where possible."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    folder = Path(runtime) if runtime else Path.home() / ".local/state"
    return folder / "pipeline" / f"quota-{blake2b(name.encode(), digest_size=8).hexdigest()}"


class SharedState:
    """The file that the processes share.

    Times in it are seconds since the machine was started, which all processes agree on, and which no clock change moves.
    """

    def __init__(self, path: Path, now: Callable[[], float] | None = None) -> None:
        """Open the file at *path*, or create it.

        Raises:
            CannotCreateError: If it cannot be created.
        """
        self._now = now or (lambda: time.clock_gettime(time.CLOCK_BOOTTIME))
        self._boot = _boot_id()
        try:
            make_private(path.parent)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise CannotCreateError(f"limits.shared: {path}: cannot be written: {error}") from error
        self._path = path

    def lease(self, field: int, units: float, per_second: float) -> float:
        """Lease *units* of a rate, and return in how many seconds their time begins; 0 or less is at once."""
        with self._locked():
            values = self._read()
            now = self._now()
            start = max(now, values[field])
            values[field] = start + units / per_second
            self._write(values)
        return start - now

    def agree(self, rates: tuple[float | None, float | None]) -> tuple[float | None, float | None]:
        """Return the lower of *rates*, requests and tokens a minute, and of what others that still run have said."""
        with self._locked():
            values = self._read()
            if max(values[:2]) < self._now() - FORGOTTEN_SECONDS:
                values[3:5] = [0.0, 0.0]
            agreed = [
                min(filter(None, (mine, theirs or None)), default=None)
                for mine, theirs in zip(rates, values[3:5], strict=True)
            ]
            values[3:5] = [rate or 0.0 for rate in agreed]
            self._write(values)
        return agreed[0], agreed[1]

    def pause(self, seconds: float) -> None:
        """Pause all processes for at least *seconds* from now."""
        with self._locked():
            values = self._read()
            values[PAUSE] = max(values[PAUSE], self._now() + seconds)
            self._write(values)

    def pause_left(self) -> float:
        """Return for how many seconds all processes are to pause; 0 or less for none."""
        return self._read()[PAUSE] - self._now()

    def _read(self) -> list[float]:
        content = os.pread(self._file, _FIELDS.size, 0)
        if len(content) == _FIELDS.size:
            magic, boot, *values = _FIELDS.unpack(content)
            if (magic, boot) == (_MAGIC, self._boot):
                return values
        return [0.0] * 5  # new, or of before the machine's last start

    def _write(self, values: list[float]) -> None:
        os.pwrite(self._file, _FIELDS.pack(_MAGIC, self._boot, *values), 0)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    log.warning(
                        "%s: is locked by a process that does not go on; used without the lock", self._path
                    )
                    break
                time.sleep(0.0002)
        try:
            yield
        finally:
            with suppress(OSError):
                fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


class SharedQuota:
    """A rate of *per_minute* units that this process shares with others; it is used like a `Quota`."""

    def __init__(self, state: SharedState, field: int, per_minute: float) -> None:
        self._state, self._field = state, field
        self._rate = per_minute / 60 * (1 - MARGIN)
        self._lock = asyncio.Lock()
        self._in_hand, self._until = 0.0, 0.0

    def holds(self, amount: float) -> bool:
        """Return whether *amount* units may be used at once."""
        return self._in_hand >= amount and not self._lock.locked() and time.monotonic() <= self._until

    def use(self, amount: float) -> None:
        """Use *amount* units; only right after `holds` returned True."""
        self._in_hand -= amount

    async def take(self, amount: float) -> None:
        """Wait until *amount* units may be used, and use them."""
        async with self._lock:
            if self._in_hand >= amount and time.monotonic() <= self._until:
                self._in_hand -= amount
                return
            units = max(amount, float(int(self._rate * LEASE_SECONDS)))
            wait = self._state.lease(self._field, units, self._rate)
            self._until = time.monotonic() + wait + units / self._rate + LATE_SECONDS
            if wait > 0:
                await asyncio.sleep(wait)
            # However late the timer was, what was asked for is used: else a busy process would never get any.
            self._in_hand = units - amount


class SharedPause(Pause):
    """A pause that holds for all processes that share a quota."""

    def __init__(self, state: SharedState, clock: Clock) -> None:
        super().__init__(clock)
        self._state = state

    @property
    def seconds_left(self) -> float:
        """Seconds until it ends; 0 or less if there is none."""
        return max(super().seconds_left, self._state.pause_left())

    def extend(self, seconds: float) -> None:
        """Extend the pause to at least *seconds* from now; never shorten it."""
        super().extend(seconds)
        self._state.pause(seconds)


def _boot_id() -> bytes:
    try:
        return bytes.fromhex(Path("/proc/sys/kernel/random/boot_id").read_text().strip().replace("-", ""))
    except (OSError, ValueError):
        return bytes(16)
