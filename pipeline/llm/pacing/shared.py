"""A quota that several processes on one machine share: a small file under a lock.

The file says until when each rate is granted (GCRA, the generic cell rate algorithm of ITU-T I.371, with leases): whoever
wants k units gets the time from then on in which they are due, and puts the end of it there. So nobody is registered, nothing
beats, and a process that dies holds nothing but the rest of its last lease.
"""

import asyncio
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
from typing import NamedTuple

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
"""How long a lower rate than one's own counts after somebody has last used it."""

LOCK_SECONDS = 1.0
"""How long the lock is waited for before the file is used without: whoever holds it has been stopped."""

_FIELDS = struct.Struct("=8s16s7d")
_MAGIC = b"pipeline"
REQUESTS, TOKENS, PAUSE = range(3)
"""Fields of the file: until when each rate is granted, and until when all pause."""

RATE, SAID = 3, 5
"""Added to REQUESTS or TOKENS: the lowest rate that somebody uses, in units a second, and when it was last used."""


class Lease(NamedTuple):
    """Units of a rate that may be used in their time.

    Attributes:
        wait: In how many seconds their time begins; 0 or less is now.
        seconds: How long it takes.
        units: How many they are.
        rate: The rate, units a second.
    """

    wait: float
    seconds: float
    units: float
    rate: float


def shared_file(name: str) -> Path:
    """Return the file of the quota called *name*: this user's, gone after a restart of the machine where possible.

    An absolute path is the file itself.
    """
    if os.path.isabs(name):  # noqa: PTH117 - it is a name
        return Path(name)
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
        self._path = path
        self._patient = True
        try:
            self._file = self._open()
        except OSError as error:
            raise CannotCreateError(f"limits.shared: {path}: cannot be written: {error}") from error

    def _open(self) -> int:
        make_private(self._path.parent)
        return os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)

    def lease(self, field: int, amount: float, rate: float) -> Lease:
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
        return self._read()[PAUSE] - self._now()

    def _read(self) -> list[float]:
        content = os.pread(self._file, _FIELDS.size, 0)
        if len(content) == _FIELDS.size:
            magic, boot, *values = _FIELDS.unpack(content)
            if (magic, boot) == (_MAGIC, self._boot):
                return values
        return [0.0] * 7  # new, or of before the machine's last start

    def _write(self, values: list[float]) -> None:
        os.pwrite(self._file, _FIELDS.pack(_MAGIC, self._boot, *values), 0)

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


class SharedQuota:
    """A rate of *per_minute* units that this process shares with others; it is used like a `Quota`.

    Without a rate of its own it keeps to the one that others have.
    """

    def __init__(self, state: SharedState, field: int, per_minute: float | None) -> None:
        self._state, self._field = state, field
        self._rate = per_minute / 60 * (1 - MARGIN) if per_minute else math.inf
        self._lock = asyncio.Lock()
        self._in_hand, self._until = 0.0, 0.0
        self._warned = False

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
            lease = self._state.lease(self._field, amount, self._rate)
            self._until = time.monotonic() + lease.wait + lease.seconds + LATE_SECONDS
            self._warn(lease.rate)
            if lease.wait > 0:
                await asyncio.sleep(lease.wait)
            # However late the timer was, what was asked for is used: else a busy process would never get any.
            self._in_hand = lease.units - amount

    def _warn(self, rate: float) -> None:
        if rate < self._rate < math.inf and not self._warned:
            self._warned = True
            log.warning(
                "limits.shared: another run has a lower limit, which holds for all: %.0f %s a minute",
                rate * 60 / (1 - MARGIN),
                ("requests", "tokens")[self._field],
            )


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
