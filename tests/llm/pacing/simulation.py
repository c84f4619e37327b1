"""Endpoints that refuse, and clients of them, in virtual time without an event loop: an hour of requests takes seconds.

What is sent when is the product's own `Concurrency`, and how long a refused row waits is its own `RetryPolicy`.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from heapq import heappop, heappush
from math import inf, log
from random import Random
from typing import NamedTuple, Protocol

from pipeline.llm.pacing.concurrency import Concurrency, Departure
from pipeline.llm.pacing.level import TICK_SECONDS
from pipeline.llm.replies import Failure, FailureKind
from pipeline.llm.retry import RetryPolicy
from pipeline.system.clock import Clock

SPREAD = 0.4
"""Of the logarithm of the time that a reply takes."""


class Answer(NamedTuple):
    """What becomes of a request: whether it was refused, and why."""

    seconds: float
    refused: bool = False
    told: float = 0.0
    for_limit: bool = False


@dataclass(frozen=True)
class Endpoint:
    """What an endpoint bears, and what it refuses.

    Attributes:
        noise: Share that is refused whatever is sent.
        rate: Requests a second that are accepted, of which a second's worth may come at once.
        in_flight: Requests that are served at the same time.
        bears: Requests in flight from which replies take longer.
        storm: From when to when everything is refused.
        change: From when the limits are so many times as high.
        told: Retry-After of a refusal because of noise, because of a limit, and in a storm; 0 for none.
    """

    reply_seconds: float = 0.1
    refusal_seconds: float = 0.03
    noise: float = 0.0
    rate: float | None = None
    in_flight: float | None = None
    bears: float | None = None
    storm: tuple[float, float] = (inf, inf)
    change: tuple[float, float] = (inf, 1.0)
    told: tuple[float, float, float] = (0.0, 0.0, 0.0)


class Server:
    """An endpoint at work."""

    def __init__(self, endpoint: Endpoint, chance: Random) -> None:
        self.serving = 0
        self._endpoint, self._chance = endpoint, chance
        self._tokens, self._at = endpoint.rate or 0.0, 0.0

    def answer(self, at: float) -> Answer:
        """Accept or refuse a request."""
        endpoint, chance = self._endpoint, self._chance
        of_noise, of_limit, of_storm = endpoint.told
        soon = endpoint.refusal_seconds * (0.5 + chance.random())
        if endpoint.storm[0] <= at < endpoint.storm[1]:
            return Answer(soon, refused=True, told=of_storm, for_limit=True)
        if chance.random() < endpoint.noise:
            return Answer(soon, refused=True, told=of_noise)
        times = endpoint.change[1] if at >= endpoint.change[0] else 1.0
        if not self._takes_token(at, times) or self.serving >= (endpoint.in_flight or inf) * times:
            return Answer(soon, refused=True, told=of_limit, for_limit=True)
        self.serving += 1
        seconds = chance.lognormvariate(log(endpoint.reply_seconds) - SPREAD**2 / 2, SPREAD)
        return Answer(seconds * max(1.0, self.serving / ((endpoint.bears or inf) * times)))

    def _takes_token(self, at: float, times: float) -> bool:
        if self._endpoint.rate is None:
            return True
        rate = self._endpoint.rate * times
        self._tokens, self._at = min(rate, self._tokens + (at - self._at) * rate), at
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class Client(Protocol):
    """Whoever decides how much is sent."""

    def room(self) -> float:
        """Return how many requests may be in flight."""

    def departure_time(self) -> float:
        """Return when the next request may be sent."""

    def sent(self) -> Departure | None:
        """Record that it is sent."""

    def done(self, departure: Departure | None, answer: Answer) -> None:
        """Record what became of it."""

    def tick(self) -> None:
        """Adapt to the time that has passed."""


class Fixed:
    """As many requests in flight as there may be."""

    def __init__(self, level: int, clock: Clock) -> None:
        self._level, self._clock = level, clock

    def room(self) -> float:
        return self._level

    def departure_time(self) -> float:
        return self._clock.now()

    def sent(self) -> None:
        pass

    def done(self, departure: Departure | None, answer: Answer) -> None:
        pass

    def tick(self) -> None:
        pass


class Adaptive:
    """The product."""

    def __init__(self, maximum: int, clock: Clock) -> None:
        self.concurrency = Concurrency(maximum, clock)
        self._next: float | None = None

    def room(self) -> float:
        return self.concurrency.limit

    def departure_time(self) -> float:
        self.concurrency.level.judge()
        if self._next is None:
            self._next = self.concurrency.departure_time()
        self._next = self.concurrency.sooner(self._next)
        return max(self._next, self.concurrency.level.storm.until)

    def sent(self) -> Departure:
        self._next = None
        return self.concurrency.on_sent()

    def done(self, departure: Departure | None, answer: Answer) -> None:
        assert departure is not None
        if answer.refused:
            self.concurrency.on_refusal(departure, answer.told)
        else:
            self.concurrency.on_reply(departure)

    def tick(self) -> None:
        self.concurrency.tick()


@dataclass
class Story:
    """When requests were sent, answered with a reply, and refused for a limit or in a storm."""

    sent: list[float] = field(default_factory=list)
    replied: list[float] = field(default_factory=list)
    excessive: list[float] = field(default_factory=list)

    def rate(self, start: float, stop: float) -> float:
        """Replies a second."""
        return _count(self.replied, start, stop) / (stop - start)

    def refused(self, start: float = 0.0, stop: float = inf) -> float:
        """Share of the requests sent that was refused for a limit or in a storm."""
        return _count(self.excessive, start, stop) / max(1, _count(self.sent, start, stop))

    def sent_in(self, start: float, stop: float) -> int:
        """Requests sent."""
        return _count(self.sent, start, stop)

    def seconds_until(self, rate: float, start: float = 0.0) -> float:
        """Seconds from *start* until the mean of three seconds is that *rate*."""
        last = int(self.replied[-1]) - 3
        return next((at - start for at in range(int(start), last + 1) if self.rate(at, at + 3) >= rate), inf)


def _count(times: Sequence[float], start: float, stop: float) -> int:
    return bisect_left(times, stop) - bisect_left(times, start)


class Simulation:
    """Rows that a client asks an endpoint about; refused ones wait by themselves and give their place to others."""

    def __init__(
        self, endpoint: Endpoint, client: Callable[[Clock], Client], seed: int, rows: float = inf
    ) -> None:
        chance = Random(seed)
        self._now = 0.0
        self._clock = Clock(now=lambda: self._now, random=chance.random)
        self._server = Server(endpoint, Random(seed + 1000))
        self.client = client(self._clock)
        self.story = Story()
        self._rows = rows  # that were not sent yet
        self._left = rows
        self._refused: list[tuple[float, int]] = []  # when they may be sent again, and how often they failed
        self._in_flight = 0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._scheduled = 0
        self._wakes_at = inf
        self._policy = RetryPolicy()

    def run(self, seconds: float) -> Story:
        """Go on for so long, or until every row has its reply."""
        self._at(0.0, self._tick)
        while self._left and self._events[0][0] <= seconds:
            self._now, _, event = heappop(self._events)
            event()
            self._fill()
        return self.story

    def _at(self, time: float, event: Callable[[], None]) -> None:
        self._scheduled += 1
        heappush(self._events, (time, self._scheduled, event))

    def _tick(self) -> None:
        self.client.tick()
        self._at(self._now + TICK_SECONDS, self._tick)

    def _wake(self) -> None:
        self._wakes_at = inf

    def _fill(self) -> None:
        while self._in_flight < self.client.room():
            due = self._refused[0][0] if self._refused else inf
            at = max(self._now if self._rows else due, self.client.departure_time())
            if at > self._now:
                if at < self._wakes_at:
                    self._wakes_at = at
                    self._at(at, self._wake)
                return
            if due <= self._now:
                self._send(heappop(self._refused)[1])
            else:
                self._rows -= 1
                self._send(0)

    def _send(self, failures: int) -> None:
        answer = self._server.answer(self._now)
        self._in_flight += 1
        self.story.sent.append(self._now)
        self._at(self._now + answer.seconds, partial(self._done, answer, self.client.sent(), failures))

    def _done(self, answer: Answer, departure: Departure | None, failures: int) -> None:
        self._in_flight -= 1
        if answer.refused:
            failure = Failure(FailureKind.THROTTLED, "too many", retry_after=answer.told or None)
            wait = self._policy.delay(failure, failures + 1, self._clock)
            heappush(self._refused, (self._now + wait, failures + 1))
            if answer.for_limit:
                self.story.excessive.append(self._now)
        else:
            self._server.serving -= 1
            self._left -= 1
            self.story.replied.append(self._now)
        self.client.done(departure, answer)


def adaptive(endpoint: Endpoint, seconds: float, seed: int, maximum: int = 64, rows: float = inf) -> Story:
    """Ask the endpoint as the product does."""
    return Simulation(endpoint, partial(Adaptive, maximum), seed, rows).run(seconds)


def fixed(endpoint: Endpoint, seconds: float, seed: int, level: int = 64, rows: float = inf) -> Story:
    """Ask the endpoint with a fixed number of requests in flight."""
    return Simulation(endpoint, partial(Fixed, level), seed, rows).run(seconds)
