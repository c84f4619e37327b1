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
        done: Rows that are labelled.
        failed: Rows in written parts that have text but no labels.
        reused: Prompts whose answer this execution has found, and an earlier run has paid for.
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


class Pace:
    """Measures the pace of a run whenever it is looked at."""

    def __init__(self, look: Look, now: Callable[[], float] = time.monotonic) -> None:
        self._look, self._now = look, now
        self._samples: deque[tuple[float, int]] = deque()
        self._done = 0

    def look(self) -> Standing:
        """Look at the run, and return where it stands."""
        progress, now = self._look(), self._now()
        self._done = max(self._done, progress.done)
        rate = self._rate(now)
        rows_left = max(progress.rows - self._done, 0)
        left = 0.0 if not rows_left else rows_left / rate if rate and not progress.waiting else None
        return Standing(progress, self._done, rate, left)

    def _rate(self, now: float) -> float | None:
        samples = self._samples
        if not samples or now - samples[-1][0] >= SAMPLE_SECONDS:
            samples.append((now, self._done))
        # One sample from before the window stays: a window that begins between two is never shorter than it says.
        while len(samples) > 1 and now - samples[1][0] >= WINDOW_SECONDS:
            samples.popleft()
        began, done = samples[0]
        if now - began < SAMPLE_SECONDS or self._done == done == 0:
            return None
        return (self._done - done) / (now - began)


def shares_text(shares: Mapping[str, int]) -> str:
    """Return which share of all requests each of several endpoints got; empty if there is one, or nothing was sent."""
    total = sum(shares.values())
    return ", ".join(f"{name} {percent(count / total)}" for name, count in shares.items()) if total else ""
