"""When work ends within limits, which of them binds, and what would have it end in time."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from math import ceil
from typing import NamedTuple

from pipeline.figures import count, duration
from pipeline.llm.packs.width import WIDTHS

ROOM = 1.02
"""So much more than is needed just so is suggested."""


class Load(NamedTuple):
    """What is left to be sent: requests, and their tokens as they count against a limit."""

    requests: float
    tokens: float


@dataclass(frozen=True, slots=True)
class Speed:
    """How fast it can be sent.

    Attributes:
        requests_per_minute: None for no limit.
        tokens_per_minute: None for no limit.
        max_concurrency: Requests at once.
        latency: Seconds that a reply takes.
    """

    requests_per_minute: float | None
    tokens_per_minute: float | None
    max_concurrency: float
    latency: float

    def seconds(self, load: Load) -> Mapping[str, float]:
        """Return how long *load* takes by each limit."""
        rpm, tpm = self.requests_per_minute, self.tokens_per_minute
        return {
            "max_concurrency": load.requests * self.latency / self.max_concurrency,
            "requests_per_minute": 60 * load.requests / rpm if rpm else 0.0,
            "tokens_per_minute": 60 * load.tokens / tpm if tpm else 0.0,
        }

    def longest(self, load: Load) -> float:
        """Return how long *load* takes."""
        return max(self.seconds(load).values())

    def raised(self, load: Load, left: float) -> Iterator[str]:
        """Yield the limit, with its value, whose raise alone has *load* end within the seconds that are *left*."""
        taken = self.seconds(load)
        bound = max(taken, key=lambda name: taken[name])
        now = getattr(self, bound)
        needed = _rounded_up(now * taken[bound] / left * ROOM)
        raised = replace(self, **{bound: needed})
        if raised.longest(load) <= left:  # else the next limit binds, too late as well
            yield f"limits.{bound}: {needed:_}"


def wider(now: int, at: Callable[[int], Load], speed: Speed, left: float) -> Iterator[str]:
    """Yield how many rows in a request have all end within the seconds that are *left*; *at* tells the load by that."""
    for width in WIDTHS:
        if width > now and speed.longest(at(width)) * ROOM <= left:
            yield f"model.rows_per_request: {width}"
            return


@dataclass(frozen=True, slots=True)
class Outlook:
    """Whether work is done in time.

    Attributes:
        due: Unix time by which it is to be.
        ends: Unix time at which it is, by what is known now.
        pace: In words: what it is going by.
        remedies: What would make it, each by itself; None where that is not known.
    """

    due: float
    ends: float
    pace: str
    remedies: tuple[str, ...] | None = ()

    @property
    def makes_it(self) -> bool:
        """Whether it is."""
        return self.ends <= self.due

    def told(self, clock: Callable[[float], str]) -> str:
        """Return a sentence; *clock* writes a time."""
        if self.makes_it:
            return f"limits.finish_by: {self.pace} it ends at {clock(self.ends)}, before {clock(self.due)}"
        late = duration(self.ends - self.due)
        would = "" if self.remedies is None else "; no single setting would make it"
        if self.remedies:
            would = f"; {' or '.join(self.remedies)} would make it"
        return f"limits.finish_by: {self.pace} it ends at {clock(self.ends)}, {late} after {clock(self.due)}{would}"

    def facts(self) -> dict[str, object]:
        """Return it as values, for programs."""
        return {
            "by": self.due,
            "ends": self.ends,
            "makes_it": self.makes_it,
            "remedies": list(self.remedies or ()),
        }


def per_minute(requests: float) -> str:
    """Return a pace in words."""
    return f"at {count(round(requests), 'request')} a minute"


def _rounded_up(value: float) -> int:
    """Return *value* rounded up to two digits, as people set limits."""
    step: int = 10 ** max(0, len(str(ceil(value))) - 2)
    return ceil(value / step) * step
