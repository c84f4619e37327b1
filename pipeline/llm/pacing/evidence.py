"""What became of the requests, in the order in which they were sent.

Refusals come back sooner than replies. Counted as they return, the first outcomes of any new level are refusals, and
each level looks like too much.
"""

from collections import deque
from dataclasses import dataclass
from math import exp, log
from typing import NamedTuple

from pipeline.llm.pacing.belief import RATIO, LimitBelief

RATE_SECONDS = 0.3
"""Seconds over which the rate of sending is averaged, at least; twice as long as a reply takes, if that is longer."""

REPLIES_SECONDS = 1.0
"""The same for the rate of replies."""

UNKNOWN_SECONDS = 0.5
"""Seconds after which a request counts as not refused, until it is known how long a refusal takes."""

SIMILAR = log(RATIO)
"""Loads whose logarithms are that close together are counted together; the belief does not tell them apart."""

MOST_REMEMBERED = 500
"""Requests at one load that are remembered from before the first refusal."""

LEAST_SECONDS = 1e-4
"""That a reply counts as having taken; there are clocks on which one takes none."""

REPLY_WEIGHT, LATE_REPLY_WEIGHT, REFUSAL_WEIGHT = 0.01, 0.05, 0.05
"""Of a call in the moving averages of how long replies took, take of late, and refusals take. A rate is told from the first."""


class Departure(NamedTuple):
    """A request that was sent.

    Attributes:
        at: When, on the clock.
        number: How many were sent before it.
        in_flight: Requests in flight then, including it.
        load: What was sent then, as requests in flight.
    """

    at: float
    number: int
    in_flight: int
    load: float


@dataclass(slots=True)
class _Count:
    """Requests at much the same load."""

    sent: int = 0
    refused: int = 0
    load: float = 0.0


class _Rate:
    """A moving average of events a second, which forgets exponentially."""

    def __init__(self) -> None:
        self.value = 0.0
        self._at = float("-inf")

    def count(self, now: float, seconds: float) -> None:
        """Count an event; what came *seconds* ago weighs 1/e."""
        self.value = self.at(now, seconds) + 1 / seconds
        self._at = now

    def at(self, now: float, seconds: float) -> float:
        """Return the average now."""
        return self.value * exp((self._at - now) / seconds)


class Evidence:
    """Counts of what was accepted and refused, for the belief.

    Attributes:
        sent: Requests sent so far.
        reply_seconds: How long a reply takes, on average; None before the first.
        late_seconds: The same of late, which varies more.
        refusal_seconds: How long a refusal takes; None before the first.
    """

    def __init__(self) -> None:
        self.sent = self._replies = 0
        self.reply_seconds: float | None = None
        self.late_seconds = 0.0
        self.refusal_seconds: float | None = None
        self._counted = 0  # requests before this number were counted
        self._loads: deque[float] = deque()  # of those from there on
        self._refused: set[int] = set()  # of those
        self._marks: deque[tuple[float, int]] = deque()  # what was sent before a moment, now and then
        self._last_refused = -1
        self._late: list[float] = []  # loads of refusals that were counted as not refused
        self._sending, self._replying = _Rate(), _Rate()
        self._replying_since = float("-inf")  # the first refusal
        self._remembered: dict[int, int] = {}  # by load, while there was no refusal yet

    def on_sent(self, now: float, in_flight: int, level: float = float("inf")) -> Departure:
        """Record that a request is sent, at a *level* that may be below the one in flight."""
        load = min(float(in_flight), level)
        if self.refusal_seconds is not None and self.reply_seconds is not None:
            # Refused requests take up little time, so the load may be far more than what is in flight.
            seconds = max(RATE_SECONDS, 2 * self.reply_seconds)
            self._sending.count(now, seconds)
            if level > 1:  # or the breaks between requests are what the level says
                # Just before it counted, the average was as much too low as it is too high now.
                rate = self._sending.value - 0.5 / seconds
                load = min(4.0 * in_flight, max(load, rate * self.reply_seconds))
        self._loads.append(load)
        departure = Departure(now, self.sent, in_flight, load)
        self.sent += 1
        return departure

    def on_reply(self, now: float, seconds: float) -> None:
        """Record a reply, and how long it took."""
        self._replies += 1
        known, seconds = self.reply_seconds or 0.0, max(seconds, LEAST_SECONDS)
        self.reply_seconds = known + max(REPLY_WEIGHT, 1 / self._replies) * (seconds - known)
        self.late_seconds += max(LATE_REPLY_WEIGHT, 1 / self._replies) * (seconds - self.late_seconds)
        if self.refusal_seconds is not None:
            self._replying.count(now, max(REPLIES_SECONDS, 2 * self.reply_seconds))

    def served(self, now: float) -> float:
        """Return how many requests in flight the replies of the last moment account for, by Little's law."""
        if self.reply_seconds is None:
            return 0.0
        seconds = max(REPLIES_SECONDS, 2 * self.reply_seconds)
        # Of a moving average that began lately, only that part has been counted.
        counted = 1 - exp(-max(now - self._replying_since, self.reply_seconds) / seconds)
        return self._replying.at(now, seconds) / counted * self.reply_seconds

    def on_refusal(self, departure: Departure, seconds: float) -> None:
        """Record a refusal, and how long it took."""
        known = self.refusal_seconds
        if known is None:
            self._replying_since = departure.at + seconds
        # A call that timed out took far longer than a refusal does; replies are the measure there.
        seconds = min(seconds, self.reply_seconds or seconds)
        self.refusal_seconds = seconds if known is None else known + REFUSAL_WEIGHT * (seconds - known)
        if departure.number < self._counted:  # it was counted as not refused
            self._late.append(departure.load)
            return
        self._refused.add(departure.number)
        self._last_refused = max(self._last_refused, departure.number)

    def count_refusals(self, belief: LimitBelief) -> None:
        """Count the refusals, and what was sent before the last of them and was not refused."""
        for load in self._late:
            belief.observe(load, 0, 1)
        self._late.clear()
        self._count(self._last_refused + 1, belief)

    def first_belief(self, maximum: int, seconds: float) -> LimitBelief:
        """Return what is known at the first refusal, *seconds* after the first request, for a limit up to *maximum*."""
        belief = LimitBelief(maximum)
        if (
            self.reply_seconds is not None
        ):  # or no burst would count as used up, however long it has gone well
            belief.pass_time(seconds, self.sent, self.reply_seconds)
        for load, accepted in self._remembered.items():
            belief.observe(load, accepted, 0)
        return belief

    def pass_time(self, now: float, belief: LimitBelief | None) -> None:
        """Count what was sent so long ago that a refusal would have come by now."""
        self._marks.append((now, self.sent))
        long_ago = now - self._patience()
        stop = self._counted
        while self._marks and self._marks[0][0] <= long_ago:
            stop = self._marks.popleft()[1]
        self._count(stop, belief)

    def forget(self) -> None:
        """Leave out everything that was sent up to now."""
        self._counted = self.sent
        for kept in (self._loads, self._refused, self._marks, self._late):
            kept.clear()

    def _patience(self) -> float:
        reply = self.reply_seconds if self.reply_seconds is not None else float("inf")
        refusal = UNKNOWN_SECONDS if self.refusal_seconds is None else 2 * self.refusal_seconds
        return min(refusal, reply)

    def _count(self, stop: int, belief: LimitBelief | None) -> None:
        """Count the requests before number *stop*, those at much the same load together."""
        counts: dict[int, _Count] = {}
        for number in range(self._counted, stop):
            load = self._loads.popleft()
            count = counts.setdefault(round(log(load) / SIMILAR), _Count())
            count.sent += 1
            count.load += load
            count.refused += number in self._refused
        self._counted = max(self._counted, stop)
        self._refused = {number for number in self._refused if number >= stop}
        for count in counts.values():
            load = count.load / count.sent
            if belief is None:
                known = self._remembered.get(int(load), 0)
                self._remembered[int(load)] = min(MOST_REMEMBERED, known + count.sent)
            else:
                belief.observe(load, count.sent - count.refused, count.refused)
