"""Where requests wait while the endpoint counts as unavailable, but for one now and then that probes."""

import asyncio
import math

from pipeline.system.clock import Clock

FIRST_PROBE_SECONDS = 5.0
MAX_PROBE_SECONDS = 30.0


class Gate:
    """A gate that lets everybody through while it is open, and one request every 5 to 30 s while it is shut.

    Attributes:
        shut: Whether it is shut.
        probes: Requests that it has let through since then.
    """

    def __init__(self, clock: Clock, most_seconds: float = MAX_PROBE_SECONDS) -> None:
        self._clock, self._most = clock, most_seconds
        self.shut = False  # asked several times a request, so no property that asks the event
        self.probes, self._next_probe_at = 0, 0.0
        self._probe_lock = asyncio.Lock()
        self._opened = asyncio.Event()
        self._opened.set()
        self._for_control = False

    def close(self) -> None:
        """Shut it."""
        self.shut = True
        self._opened.clear()
        self._next_probe_at = self._clock.now() + self._probe_interval()

    def open(self) -> None:
        """Let everybody through."""
        self.shut, self.probes = False, 0
        self._opened.set()

    @property
    def due_in(self) -> float:
        """Seconds until it lets somebody through: 0 or less if it would now, for ever while a probe is under way."""
        if not self.shut:
            return 0.0
        return math.inf if self._probe_lock.locked() else self._next_probe_at - self._clock.now()

    def leave_to_control(self, *, asked: bool) -> None:
        """Let nothing but the control probe while it is *asked*."""
        self._for_control = asked
        if self.shut:
            self._wake()

    def turns_back(self, *, control: bool) -> bool:
        """Return whether a request is to wait elsewhere, as it is the control's turn."""
        return self.shut and self._for_control and not control

    async def admit(self, *, control: bool = False) -> bool:
        """Wait until the gate opens, or until it is this caller's turn to probe or to turn back.

        Args:
            control: Whether the control is to be sent, and no row.

        Returns:
            Whether the caller probes; it must call `release_probe` afterwards.
        """
        while self.shut and not self.turns_back(control=control):
            if self._probe_lock.locked():
                await self._opened.wait()
                continue
            await self._probe_lock.acquire()
            try:
                if self.shut:
                    await self._clock.sleep(max(0.0, self._next_probe_at - self._clock.now()))
                    if not self.turns_back(control=control):
                        self.probes += 1
                        # From the start of the probe: one that takes longer than the interval is followed at once.
                        self._next_probe_at = self._clock.now() + self._probe_interval()
                    return True
            except BaseException:
                self._probe_lock.release()
                raise
            self._probe_lock.release()
        return False

    def _probe_interval(self) -> float:
        """Return the seconds from one probe to the next: they grow by half each time, up to the ceiling."""
        return min(self._most, FIRST_PROBE_SECONDS * 1.5 ** min(self.probes, 30))

    def release_probe(self) -> None:
        """End a probe: if the gate is still shut, another caller probes next."""
        self._probe_lock.release()
        if self.shut:
            self._wake()

    def _wake(self) -> None:
        # The others wait for the event and not for the lock. Setting and clearing it wakes them all: the first
        # one takes the lock, and the others see it taken and wait again.
        self._opened.set()
        self._opened.clear()
