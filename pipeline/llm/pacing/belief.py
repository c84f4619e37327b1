"""What the endpoint's refusals say about its limit: a probability for each limit and each share of noise.

docs/pacing.md explains the model. In short: a share of all requests is refused whatever is sent (noise), and beyond a
limit more are. Which of the two a refusal was shows in whether it gets rarer where less is sent.
"""

from math import asin, log, sin, sqrt

import numpy as np
from numpy.typing import NDArray

LOWEST = 1 / 1024
"""The lowest limit that is considered, in requests in flight: one request in 1,024 times as long as a reply takes."""

RATIO = 1.07
"""From one limit that is considered to the next."""

FAINT = 0.0003, 0.001, 0.002, 0.004, 0.008, 0.013, 0.02, 0.03
"""Shares of noise that are considered, up to where those begin that are equally well told apart."""

MOST_NOISE, STEPS = 0.82, 31
"""The highest share of noise that is considered, and the steps that lead there."""


def _noise() -> tuple[float, ...]:
    """Return the shares of noise that are considered.

    What lies between two of them looks like the lower one and a limit just below the load, whatever the load, as soon as so
    many requests were counted that neither explains them. How many that are depends on the difference of the arcsines of
    their square roots alone (R. A. Fisher's angular transformation), so these are equal.
    """
    first, last = (asin(sqrt(share)) for share in (FAINT[-1], MOST_NOISE))
    return (*FAINT, *(sin(first + (last - first) * step / STEPS) ** 2 for step in range(1, STEPS + 1)))


NOISE = _noise()
"""Shares of noise that are considered."""

NOISE_PRIOR = 0.4, 0.2
"""The chance of the first, and how that of the others falls with the share, by octave: as its inverse to that power."""

UNLIMITED_PRIOR = 0.5

SOFTNESS = 0.02
"""Width of the limit's edge: requests that come at random are refused now and then just below it, too."""

BURST_SECONDS = 1.5
"""A rate limit may let a burst through first: until a limit's worth of so many seconds was sent, nothing contradicts it."""

BURST_LEFT = 0.8
"""Share of the burst after which it may be used up, as nobody knows its size."""

# Chances a second that the world changes.
LIMIT_MOVES, LIMIT_JUMPS, NOISE_MOVES, NOISE_JUMPS, SORT_CHANGES = 0.15, 0.02, 0.2, 0.01, 0.003

QUIET = 0.05
"""Seconds for which a request is news, and the part of a second for which none is."""

REMEMBERED_SECONDS = 0.5
"""How often what is believed is kept, so that what a storm did to it can be taken back."""

TINY = 1e-280
"""A sum of weights below this has lost its digits."""


Weights = NDArray[np.floating]
"""By sort of limit (refuses at once, lets a burst through), share of noise, and limit (the last: none)."""


def excess(load: Weights) -> Weights:
    """Return the share that is refused at *load* times the limit: 1 - 1 / load, with a soft edge."""
    softened: Weights = SOFTNESS * np.logaddexp(0.0, (1 - 1 / load) / SOFTNESS)
    return softened


class LimitBelief:
    """Weights of all combinations of a limit, a share of noise, and a sort of limit.

    There are two sorts: one that refuses at once (a number of requests in flight), and one that lets a burst through
    (a bucket of tokens). Loads and limits are in requests in flight; a rate counts as what it keeps in flight, by
    Little's law.

    Attributes:
        weights: Of each combination; their sum is 1.
    """

    def __init__(self, maximum: int) -> None:
        """Start with no knowledge of a limit up to *maximum*."""
        count = self._count = int(log(maximum / LOWEST) / log(RATIO)) + 2
        self._limits: Weights = LOWEST * RATIO ** np.arange(count)
        self._maximum = float(maximum)
        self._noise = np.array(NOISE)[:, None]
        none, power = NOISE_PRIOR
        # By octave, however close together the shares lie there.
        some = (self._noise**-power * np.gradient(np.log(self._noise), axis=0))[1:]
        self._noise_prior = np.concatenate(([[none]], (1 - none) * some / some.sum()))
        self._prior = np.append(np.full(count, (1 - UNLIMITED_PRIOR) / count), UNLIMITED_PRIOR)
        self.weights = self._fresh()
        self._remembered_at = float("-inf")
        self._before: Weights | None = None
        self._long_before = self.weights
        # For a load of index i, `_falling[count - i :]` holds the excess at each limit, from the lowest to the highest.
        self._falling = excess(RATIO ** (count - np.arange(2.0 * count)))
        self._used = np.zeros(count)  # of each limit's burst, in requests
        # How likely each limit refuses what is beyond it: always, or once its burst is used up.
        self._refuses = np.zeros((2, 1, count + 1))
        self._refuses[0, 0, :count] = 1.0

    def _fresh(self) -> Weights:
        shares = np.outer(self._noise_prior, self._prior)
        return np.stack((shares, shares)) / 2

    def _index(self, load: float) -> int:
        return max(0, min(self._count - 1, round(log(max(load, LOWEST) / LOWEST) / log(RATIO))))

    def _excess(self, index: int) -> Weights:
        """Return the share that each limit refuses of a load, once no burst is left."""
        return self._falling[self._count - index : 2 * self._count - index]

    def _shares(self, load: float) -> Weights:
        """Return the share of *load* that each sort of each limit refuses."""
        shares: Weights = self._refuses * np.append(self._excess(self._index(load)), 0.0)
        return shares

    def observe(self, load: float, accepted: int, refused: int) -> None:
        """Learn from requests that were sent at *load*, and how many of them were *accepted* and *refused*."""
        shares = self._shares(load)
        weights = self.weights * ((1 - self._noise) * (1 - shares)) ** accepted
        if refused:
            weights *= (self._noise + (1 - self._noise) * shares) ** refused
        self._normalize(weights)
        if refused:
            # Whoever refuses for a limit has no burst left.
            reached = slice(min(self._count, self._index(load / 0.9) + 1))
            self._used[reached] = np.maximum(self._used[reached], self._burst()[reached])
            self._refuses[1, 0, reached] = 1.0

    def blame(self, load: float) -> float:
        """Return the probability that a request refused at *load* would have been accepted at a low one."""
        because = float(np.sum(self.weights * (1 - self._noise) * self._shares(load)))
        every = self.noise + because
        return because / every if every else 0.0

    def told(self, load: float) -> None:
        """Learn that the endpoint said that *load* was too much: that is no noise."""
        self._normalize(self.weights * self._shares(load))

    def pass_time(self, seconds: float, accepted: int, reply_seconds: float) -> None:
        """Let *seconds* pass in which so many requests were *accepted*: the world may have changed, bursts refill."""
        self._reply_seconds = reply_seconds
        burst = self._burst()
        used = self._used + accepted - self._limits / reply_seconds * seconds
        self._used = np.clip(used, 0.0, 1.5 * burst)
        self._refuses[1, 0, :-1] = np.clip((self._used / burst - BURST_LEFT) / (1 - BURST_LEFT), 0.0, 1.0)
        # Where little is sent, little is learnt in a second; if it were forgotten as fast, nothing would ever be known.
        self._drift(max(QUIET * seconds, min(seconds, QUIET * accepted)))

    def highest(self, risk: float) -> float:
        """Return the highest load at which the share that a limit is expected to refuse stays within *risk*."""
        limits = self.weights.sum(axis=(0, 1))[:-1]

        def expected(index: int) -> float:
            return float(limits @ self._excess(index))

        low, high = 0, self._count - 1
        if expected(high) <= risk:
            return self._maximum
        while low < high:  # the first that passes the risk
            middle = (low + high) // 2
            low, high = (low, middle) if expected(middle) > risk else (middle + 1, high)
        if low == 0:
            return LOWEST
        before, here = expected(low - 1), expected(low)
        step = (risk - before) / (here - before)
        return min(self._maximum, float(self._limits[low - 1]) * float(RATIO**step))

    @property
    def noise(self) -> float:
        """The share that is expected to be refused whatever is sent."""
        return float(np.sum(self.weights * self._noise))

    def remember(self, now: float) -> None:
        """Keep what is believed *now*, and what was before; nothing within REMEMBERED_SECONDS of the last time."""
        if now < self._remembered_at + REMEMBERED_SECONDS:
            return
        self._remembered_at = now
        self._long_before = self.weights if self._before is None else self._before
        self._before = self.weights

    def go_back(self, seconds: float) -> None:
        """Return to what was believed the last time but one, as knowledge that is *seconds* old."""
        self.weights = self._long_before
        for _ in range(10):
            self._drift(seconds / 10)

    _reply_seconds = 0.1

    def _burst(self) -> Weights:
        return self._limits * (BURST_SECONDS / self._reply_seconds)

    def _normalize(self, weights: Weights) -> None:
        total = float(weights.sum())
        self.weights = weights / total if total > TINY else self._fresh()

    def _drift(self, seconds: float) -> None:
        """Let limits and noise move to their neighbours, or jump anywhere, and the sort change."""
        weights = self.weights
        move, jump = min(0.3, LIMIT_MOVES * seconds), min(0.5, LIMIT_JUMPS * seconds)
        anywhere = weights.sum(axis=2, keepdims=True) * self._prior
        weights = weights.copy()
        weights[..., :-1] = _moved(weights[..., :-1], move, 2)  # having no limit is no neighbour of any
        weights = (1 - jump) * weights + jump * anywhere
        move, jump = min(0.3, NOISE_MOVES * seconds), min(0.5, NOISE_JUMPS * seconds)
        anywhere = weights.sum(axis=1, keepdims=True) * self._noise_prior
        weights = (1 - jump) * _moved(weights, move, 1) + jump * anywhere
        change = min(0.1, SORT_CHANGES * seconds)
        self.weights = (1 - change) * weights + change * weights[::-1]


def _moved(weights: Weights, share: float, axis: int) -> Weights:
    """Return the weights after that *share* of each has moved to either neighbour along an *axis*."""
    moved = (1 - 2 * share) * weights
    here, there = share * np.moveaxis(weights, axis, 0), np.moveaxis(moved, axis, 0)  # views of one step each
    there[1:] += here[:-1]
    there[:-1] += here[1:]
    there[0] += here[0]
    there[-1] += here[-1]
    return moved
