"""Where a run stands, and its pace: rows a second of late, and the time that is left."""

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from pipeline.figures import percent, usd

WINDOW_SECONDS = 20.0
"""The pace is that of the last so many seconds: a slower endpoint shows soon, and a single slow row does not."""

SAMPLE_SECONDS = 0.5
"""The least time between two samples of the window."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run stands: `rows`, `done` and `failed` of its whole table, and what this execution of it has done.

    Attributes:
        rows: Rows of the input.
        done: Rows that are labelled: all that is asked about them is answered.
        failed: Rows in written parts that have text but no labels.
        reused: Prompts whose answer this execution has found, and an earlier run has paid for.
        unsure: Rows that wait for the second model, while this run asks the first one itself.
        second: Rows that this execution has had answered by the second model.
        in_flight: Requests in flight.
        waiting: Whether the run waits for an endpoint that is away.
        stopping: Whether the run was asked to stop, and waits for what is in flight.
        requests: Requests sent by this execution.
        retries: How many of them were repetitions.
        throttled: How many of them the endpoint refused because of a rate limit.
        tokens: Tokens billed to this execution.
        cost_usd: US dollars billed to this execution; None where no price is known.
        shares: Requests sent by this execution to each of several endpoints; nothing where there is one.
    """

    rows: int = 0
    done: int = 0
    failed: int = 0
    reused: int = 0
    unsure: int = 0
    second: int = 0
    in_flight: int = 0
    waiting: bool = False
    stopping: bool = False
    requests: int = 0
    retries: int = 0
    throttled: int = 0
    tokens: int = 0
    cost_usd: float | None = None
    shares: Mapping[str, int] = field(default_factory=dict)

    def facts(self) -> dict[str, str]:
        """Return what this execution has done."""
        facts = {"reused": f"{self.reused:,}", "in flight": str(self.in_flight), "tokens": f"{self.tokens:,}"}
        if self.cost_usd is not None:
            facts["cost"] = usd(self.cost_usd)
        if self.waiting:
            facts["endpoint"] = "away"
        if said := shares_text(self.shares):
            facts["of all requests"] = said
        return facts


Look = Callable[[], Progress]
"""Returns the progress at the time of the call."""


class Standing(NamedTuple):
    """Where a run stands, and how fast it is.

    Attributes:
        progress: What was looked at.
        done: Rows that are done; never fewer than the time before.
        rate: Rows a second; None as long as that is unknown.
        left: Seconds that are left at this rate; None if that cannot be said.
    """

    progress: Progress
    done: int
    rate: float | None
    left: float | None

    @property
    def share(self) -> float:
        """The share of the rows that are done, 0 to 1."""
        return self.done / self.progress.rows if self.progress.rows else 1.0


class _Sample(NamedTuple):
    """What was seen at a time: rows that were done, those that the first model had answered, and those the second one had."""

    now: float
    done: int
    first: int
    second: int


class Pace:
    """Measures the pace of a run whenever it is looked at."""

    def __init__(
        self, look: Look, now: Callable[[], float] = time.monotonic, window: float = WINDOW_SECONDS
    ) -> None:
        self._look, self._now, self._window = look, now, window
        self._samples: deque[_Sample] = deque()
        self._first_before = 0  # rows that were answered by the first model when it was looked at first
        self._done = 0

    def look(self) -> Standing:
        """Look at the run, and return where it stands."""
        progress, now = self._look(), self._now()
        self._done = max(self._done, progress.done)
        seen = _Sample(now, self._done, self._done + progress.unsure, progress.second)
        rate = self._rate(seen)
        left = self._left(seen, progress) if rate and not progress.waiting else None
        return Standing(progress, self._done, rate, left if self._done < progress.rows else 0.0)

    def _rate(self, seen: _Sample) -> float | None:
        samples, now = self._samples, seen.now
        if not samples:
            self._first_before = seen.first
        if not samples or now - samples[-1].now >= SAMPLE_SECONDS:
            samples.append(seen)
        # One sample from before the window stays: a window that begins between two is never shorter than it says.
        while len(samples) > 1 and now - samples[1].now >= self._window:
            samples.popleft()
        began = samples[0]
        if now - began.now < SAMPLE_SECONDS or seen.done == began.done == 0:
            return None
        return (seen.done - began.done) / (now - began.now)

    def _left(self, seen: _Sample, progress: Progress) -> float | None:
        """Return the seconds that the slower model takes for what is left to it; None if that cannot be said.

        Both are asked at once, so that the pace of rows that are done is mostly the quicker one's, which ends first.
        """
        began = self._samples[0]
        left = max(progress.rows - seen.first, 0)
        share = (progress.unsure + seen.second) / max(1, seen.first - self._first_before)
        each = (
            (left, seen.first - began.first),
            (progress.unsure + left * min(1.0, share), seen.second - began.second),
        )
        if any(rows and pace <= 0 for rows, pace in each):
            return None
        return max((rows / pace for rows, pace in each if rows), default=0.0) * (seen.now - began.now)


def shares_text(shares: Mapping[str, int]) -> str:
    """Return which share of all requests each of several endpoints got; empty if there is one, or nothing was sent."""
    total = sum(shares.values())
    return ", ".join(f"{name} {percent(count / total)}" for name, count in shares.items()) if total else ""
