"""What the workers of a run on Ray share: an actor beside the driver that grants their quota and hears how far they are."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from pipeline.engine.worker import Line, summed
from pipeline.llm.pacing.shared.file import FileState, shared_file
from pipeline.telemetry.pace import Progress

GO_ON, STOP, STOP_NOW, OVER = range(4)
"""What a worker is told with every reply: the last one, that another has its slice."""

FREE_SECONDS = 1.0
"""How long a lease is where there is no rate: there may be one soon."""


class Term(NamedTuple):
    """The time in which one worker has a slice.

    Attributes:
        number: Of the slice, from 0.
        epoch: How many workers have had it, with this one: whoever comes later ends the term.
    """

    number: int
    epoch: int


class Reply(NamedTuple):
    """What a worker is told.

    Attributes:
        now: When, on the clock of the actor.
        order: One of GO_ON, STOP, STOP_NOW and OVER.
        answer: To what it has asked for.
    """

    now: float
    order: int
    answer: Any = None


class Grant(NamedTuple):
    """Units of a rate that may be used from *start* to *end* on the clock of the actor, and how long all are to pause."""

    start: float
    end: float
    units: float
    rate: float
    pause: float


@dataclass(frozen=True, slots=True)
class Heard:
    """What was heard of a slice.

    Attributes:
        epoch: Whose term it is.
        silent: For how many seconds nothing was heard of its worker; infinite if nothing ever was.
        now: What that worker has done.
        total: What all of its workers have.
    """

    epoch: int
    silent: float
    now: Progress
    total: Progress


class Quota:
    """The actor. All its methods are quick, and may be called again where no reply came."""

    def __init__(self, slices: int) -> None:
        self._epochs = [0] * slices
        self._heard = [-math.inf] * slices
        self._before, self._now = [Progress()] * slices, [Progress()] * slices
        self._lines: list[Line] = []
        self._states: dict[str, FileState] = {}
        self._leased_at = 0.0  # on the clock by which grants are told
        self._order = GO_ON

    async def begin(self, index: int) -> Term:
        """Begin the term of another worker; whoever had the slice is told that it is over."""
        self._before[index] = summed([self._before[index], self._now[index]])
        self._now[index], self._heard[index] = Progress(), -math.inf
        self._epochs[index] += 1
        return Term(index, self._epochs[index])

    async def beat(self, term: Term, progress: Progress, lines: Sequence[Line]) -> Reply:
        """Hear how far a worker is."""
        if self._hears(term):
            self._now[term.number] = progress
            self._lines += lines
        return self._reply(term)

    async def lease(self, term: Term, name: str, field: int, amount: float, rate: float) -> Reply:
        """Grant a worker *amount* units, or more, of a *rate* a second."""
        if not self._hears(term):
            return self._reply(term)
        state = self._state(name)
        lease = await state.lease(field, amount, rate)
        start, seconds = (
            self._leased_at + lease.wait,
            lease.seconds if lease.rate < math.inf else FREE_SECONDS,
        )
        return self._reply(term, Grant(start, start + seconds, lease.units, lease.rate, state.pause_left()))

    async def pause(self, term: Term, name: str, seconds: float) -> None:
        """Pause all workers, as the endpoint has asked one of them to."""
        if self._hears(term):
            self._state(name).pause(seconds)

    async def look(self) -> tuple[list[Heard], list[Line]]:
        """Tell the driver how far all are, and what they have to say since the last time."""
        now = time.monotonic()
        terms = zip(self._epochs, self._heard, self._now, self._before, strict=True)
        heard = [Heard(epoch, now - at, done, _total(before, done)) for epoch, at, done, before in terms]
        lines, self._lines = self._lines, []
        return heard, lines

    async def order(self, order: int) -> None:
        """Tell all workers to stop, or to stop at once."""
        self._order = max(order, self._order)

    def _hears(self, term: Term) -> bool:
        if term.epoch != self._epochs[term.number]:
            return False
        self._heard[term.number] = time.monotonic()
        return True

    def _reply(self, term: Term, answer: object = None) -> Reply:
        is_over = term.epoch != self._epochs[term.number]
        return Reply(time.monotonic(), OVER if is_over else self._order, answer)

    def _state(self, name: str) -> FileState:
        if name not in self._states:
            self._states[name] = FileState(shared_file(name), self._read_clocks)
        return self._states[name]

    def _read_clocks(self) -> float:
        # Both at once: what passes between them would be granted twice.
        boot, self._leased_at = time.clock_gettime(time.CLOCK_BOOTTIME), time.monotonic()
        return boot


def _total(before: Progress, now: Progress) -> Progress:
    """Return what all workers of a slice have done; where it stands is what the last of them says."""
    return replace(summed([before, now]), done=now.done, failed=now.failed, reused=now.reused)
