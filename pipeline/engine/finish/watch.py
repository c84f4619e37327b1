"""A watcher that says whether the run is done by `limits.finish_by`: at its start, and as soon as that changes."""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from pipeline.config.nights import unknown_zone, zone_at
from pipeline.engine.finish.packing import load_at, may_pack
from pipeline.engine.finish.remedies import Load, Outlook, Speed, per_minute, wider
from pipeline.figures import count, duration, moment
from pipeline.job.job import Job
from pipeline.system.clock import Clock
from pipeline.telemetry.pace import Look, Pace, Progress

log = logging.getLogger(__name__)

LOOK_SECONDS = 10.0
WINDOW_SECONDS, LEAST_SECONDS = 120.0, 20.0
"""The pace is that of the last so many seconds, and is not known before the other number of them."""

PATIENCE = 3
"""So many looks in a row have to say something else before it is told."""

DOUBT = 0.02
"""Closer to the time than such a share of what is left, nothing is known for sure, and what was said stays."""

BINDS = 0.85
"""Such a share of a limit is all of it."""

GUESSED_LATENCY = 0.5


class _Sample(NamedTuple):
    now: float
    done: int
    requests: int
    tokens: int


class FinishBy:
    """Says whether a run is done in time; a watcher like a progress bar."""

    def __init__(self, job: Job, due: float, clock: Clock) -> None:
        """Watch over a run of *job* that is *due* at this Unix time."""
        self._job, self._due, self._clock = job, due, clock
        self._samples: deque[_Sample] = deque()
        self._latest = Progress()
        self._pace = Pace(lambda: self._latest, clock.now, WINDOW_SECONDS)
        self._left: float | None = None  # seconds, by the pace of late
        self._said: bool | None = None
        self._other = 0  # looks in a row that said otherwise
        self._is_past = False

    @asynccontextmanager
    async def watching(self, look: Look) -> AsyncIterator[None]:
        """Say it until the block ends."""
        self._begin(look())
        repeated = asyncio.create_task(self._repeat(look))
        try:
            yield
        finally:
            repeated.cancel()
            await asyncio.gather(repeated, return_exceptions=True)

    async def _repeat(self, look: Look) -> None:
        while True:
            await self._clock.sleep(LOOK_SECONDS)
            self.look(look())

    def _begin(self, progress: Progress) -> None:
        """Say what the limits allow, if they say anything: how many rows are answered already is not known yet."""
        limits, rows = self._job.config.limits, progress.rows - progress.done
        self._sample(progress)
        rpm, width = limits.requests_per_minute, self._job.config.model.rows_per_request
        if not rpm or self._job.config.model.endpoints or not isinstance(width, int):
            left = duration(max(0.0, self._due - self._clock.wall()))
            self._say_first(
                f"limits.finish_by: {moment(self._due)} is in {left}; whether that is enough shows soon"
            )
            return
        speed = Speed(rpm, None, limits.max_concurrency, GUESSED_LATENCY)
        asked = rows if width == 1 else load_at(self._job, rows, 0.0)(width).requests
        found = self._outlook(
            speed, Load(asked, 0.0), f"if all rows left have to be asked, {per_minute(rpm)}"
        )
        self._say_first(found.told(moment))
        # The worst case is no reason to worry, nor to keep quiet once it is more than that.
        self._said = True if found.makes_it else None

    def _say_first(self, told: str) -> None:
        """Say what is *told* at the start, and in which zone its times are: a zone that is unknown is another than was meant."""
        level = logging.WARNING if unknown_zone() else logging.INFO
        log.log(level, "%s; times are in %s", told, zone_at(self._due))

    def look(self, progress: Progress) -> None:
        """Look at the run, and say what has changed."""
        self._sample(progress)
        now, left = self._clock.wall(), progress.rows - progress.done
        if now > self._due and not self._is_past and left:
            self._is_past, self._said = True, False
            log.warning(
                "limits.finish_by: %s is past, and %s are left", moment(self._due), count(left, "row")
            )
        found = None if progress.waiting or self._is_past else self._found(progress)
        if found is None or abs(found.ends - self._due) < DOUBT * (found.ends - now):
            self._other = 0
            return
        self._other = self._other + 1 if found.makes_it is not self._said else 0
        if self._other >= (PATIENCE if self._said is not None else 1):
            self._tell(found)

    def _sample(self, progress: Progress) -> None:
        self._latest = progress
        self._left = self._pace.look().left
        sent = progress.requests - progress.retries
        self._samples.append(_Sample(self._clock.now(), progress.done, sent, progress.tokens))
        while len(self._samples) > 1 and self._samples[-1].now - self._samples[1].now >= WINDOW_SECONDS:
            self._samples.popleft()

    def _found(self, progress: Progress) -> Outlook | None:
        """Return what the pace of late comes to; None as long as there is none."""
        first, last = self._samples[0], self._samples[-1]
        seconds, rows, requests = last.now - first.now, last.done - first.done, last.requests - first.requests
        if seconds < LEAST_SECONDS or not rows or self._left is None:
            return None
        left = progress.rows - progress.done
        ends = self._clock.wall() + self._left
        if not requests:
            return Outlook(self._due, ends, "by its pace of late")
        each = (last.tokens - first.tokens) / requests
        load = Load(left * requests / rows, left * requests / rows * each)
        pace = per_minute(60 * requests / seconds)
        if self._has_several:
            return Outlook(self._due, ends, pace, None)
        if (speed := self._speed(progress, requests / seconds, each)) is None:
            return Outlook(self._due, ends, f"{pace}, which no limit of the config sets,")
        return self._outlook(speed, load, pace)

    @property
    def _has_several(self) -> bool:
        """Whether several are asked, each with limits of its own: the pace of all of them does not tell whose binds."""
        return bool(self._job.config.model.endpoints) or self._job.second is not None

    def _speed(self, progress: Progress, per_second: float, tokens: float) -> Speed | None:
        """Return the speed as it is, the limit that binds being what is reached of it; None if none of them binds."""
        limits = self._job.config.limits
        rpm, tpm = limits.requests_per_minute, limits.tokens_per_minute
        most, latency = limits.max_concurrency, max(progress.in_flight, 1) / per_second
        reached = 60 * per_second
        # What counts against a limit of tokens is the ceiling of the reply as well.
        counted = reached * max(tokens, self._job.config.model.max_tokens)
        if rpm and reached >= BINDS * rpm:
            return Speed(reached, tpm, most, latency)
        if tpm and counted >= BINDS * tpm:
            return Speed(rpm, counted, most, latency)
        if progress.in_flight >= BINDS * most:
            return Speed(rpm, tpm, most, most / per_second)
        return None

    def _outlook(self, speed: Speed, load: Load, pace: str) -> Outlook:
        now = self._clock.wall()
        return outlook(self._job, speed, load, now=now, due=self._due, pace=pace)

    def _tell(self, found: Outlook) -> None:
        self._said, self._other = found.makes_it, 0
        log.log(logging.INFO if found.makes_it else logging.WARNING, "%s", found.told(moment))


def outlook(job: Job, speed: Speed, load: Load, *, now: float, due: float, pace: str) -> Outlook:
    """Return whether *load* is done at that *speed* when it is *due*, and what would make it."""
    seconds, left = speed.longest(load), due - now
    remedies: list[str] = []
    if seconds > left > 0:
        remedies += speed.raised(load, left)
        if may_pack(job):
            width = int(job.config.model.rows_per_request)
            at = load_at(job, load.requests * width, load.tokens / max(1.0, load.requests * width))
            remedies += wider(width, at, speed, left)
    return Outlook(due, now + seconds, pace, tuple(remedies))
