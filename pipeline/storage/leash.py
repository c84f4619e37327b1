"""A lease as the processes see it that work for its holder: they do not renew it, and read in a file how long it holds.

Holder and processes are on one machine, and have one clock, which also passes while the machine is suspended. A holder that is
stopped renews nothing: so its processes stop sending before another can have taken the lease over.
"""

import math
import os
import struct
import time
from contextlib import suppress
from pathlib import Path

from pipeline.errors import LockedError
from pipeline.system.atomic import write

FRESH_SECONDS = 15.0
"""For how long after a renewal nobody else can have the lease, with time to spare."""

OUTAGE_SECONDS = 120.0
"""For how long whoever needs a lease that cannot be renewed waits, and does nothing else, before it gives up."""

LOOK_SECONDS = 0.2
LOST = -math.inf

_TIME = struct.Struct("d")


def now() -> float:
    """Return seconds that also pass while the machine is suspended."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Leash:
    """What a process needs to see whether the one that has started it still holds a lease."""

    def __init__(self, path: Path, output: object) -> None:
        """Create the leash of this process's lease on *output*; *path* is where it tells of its renewals."""
        self._path, self._output, self._holder = path, output, os.getpid()

    def tell(self, renewed_at: float) -> None:
        """Let the processes know when the lease was renewed, or that it is `LOST`."""
        with suppress(OSError):  # they have ended, and their folder has gone
            write(self._path, _TIME.pack(renewed_at), durable=False)

    def ensure_held(self) -> None:
        """Check that nobody else can have the lease; waits while it is not renewed, as its holder does. Blocks.

        Raises:
            LockedError: If another may have it, or if it was not renewed for long.
        """
        until = now() + OUTAGE_SECONDS
        while now() - (renewed_at := self._renewed_at()) > FRESH_SECONDS:
            if renewed_at == LOST or now() > until or os.getppid() != self._holder:
                raise LockedError(
                    f"{self._output}: process {self._holder}, whose run this is, has ended or not renewed its lease"
                )
            time.sleep(LOOK_SECONDS)

    def _renewed_at(self) -> float:
        try:
            (found,) = _TIME.unpack(self._path.read_bytes())
        except (OSError, struct.error):
            return LOST
        return float(found)
