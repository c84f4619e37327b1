"""What the endpoint's refusals say about its limit: a probability for each limit and each share of noise.

docs/pacing.md explains the model. In short: a share of all requests is refused whatever is sent (noise), and beyond a
limit more are. Which of the two a refusal was shows in whether it gets rarer where less is sent.
"""

from collections.abc import Iterator
from itertools import chain
from math import exp, log, log1p

LOWEST = 1 / 1024
"""The lowest limit that is considered, in requests in flight: one request in 1,024 times as long as a reply takes."""

RATIO = 1.07
"""From one limit that is considered to the next."""

NOISE = (0.0003, 0.002, 0.008, 0.02, 0.05, 0.1, 0.2, 0.45)
NOISE_PRIOR = (0.45, 0.15, 0.12, 0.09, 0.07, 0.06, 0.04, 0.02)
UNLIMITED_PRIOR = 0.5

SOFTNESS = 0.02
"""Width of the limit's edge: requests that come at random are refused now and then just below it, too."""

BURST_SECONDS = 1.5
"""A rate limit may let a burst through first: until a limit's worth of so many seconds was sent, nothing contradicts it."""

BURST_LEFT = 0.8
"""Share of the burst after which it may be used up, as nobody knows its size."""

# Chances a second that the world changes.
LIMIT_MOVES, LIMIT_JUMPS, NOISE_MOVES, NOISE_JUMPS, SORT_CHANGES = 0.15, 0.02, 0.1, 0.01, 0.003

TINY = 1e-280
"""A sum of weights below this has lost its digits."""


def excess(load: float) -> float:
    """Return the share that is refused at *load* times the limit: 1 - 1 / load, with a soft edge."""
    beyond = (1 - 1 / load) / SOFTNESS
    return SOFTNESS * (log1p(exp(beyond)) if beyond < 30 else beyond)  # noqa: PLR2004 - there exp(-x) is nothing


class LimitBelief:
    """Weights of all combinations of a limit, a share of noise, and a sort of limit.

    There are two sorts: one that refuses at once (a number of requests in flight), and one that lets a burst through
    (a bucket of tokens). Loads and limits are in requests in flight; a rate counts as what it keeps in flight, by
    Little's law.
    """

    def __init__(self, maximum: int) -> None:
        """Start with no knowledge of a limit up to *maximum*."""
        count = self._count = int(log(maximum / LOWEST) / log(RATIO)) + 2
        self._limits = [LOWEST * RATIO**i for i in range(count)]
        self._maximum = float(maximum)
        self._prior = [(1 - UNLIMITED_PRIOR) / count] * count + [UNLIMITED_PRIOR]
        self._weights = self._fresh()
        # For a load of index i, `_falling[count - i :]` holds the excess at each limit, from the lowest to the highest.
        self._falling = [excess(RATIO ** (count - k)) for k in range(2 * count)]
        self._used = [0.0] * count  # of each limit's burst, in requests
        self._drained = [0.0] * count  # how likely each limit's burst is used up

    def _fresh(self) -> list[list[float]]:
        return [[0.5 * noise * limit for limit in self._prior] for noise in NOISE_PRIOR * 2]

    def _index(self, load: float) -> int:
        return max(0, min(self._count - 1, round(log(max(load, LOWEST) / LOWEST) / log(RATIO))))

    def _excess(self, index: int) -> list[float]:
        return self._falling[self._count - index : 2 * self._count - index]

    def _shares(self, index: int) -> Iterator[tuple[list[float], list[float], float]]:
        """Yield the weights, the excess at each limit, and the noise, for each sort and noise."""
        at_once = self._excess(index)
        drained = [share * left for share, left in zip(at_once, self._drained, strict=True)]
        for row, (noise, shares) in zip(
            self._weights, chain(((q, at_once) for q in NOISE), ((q, drained) for q in NOISE)), strict=True
        ):
            yield row, shares, noise

    def observe(self, load: float, accepted: int, refused: int) -> None:
        """Learn from requests that were sent at *load*, and how many of them were *accepted* and *refused*."""
        index = self._index(load)
        weights = [
            _updated(row, shares, noise, accepted, refused) for row, shares, noise in self._shares(index)
        ]
        self._normalize(weights)
        if refused:
            # Whoever refuses for a limit has no burst left.
            for i in range(min(self._count, self._index(load / 0.9) + 1)):
                self._used[i] = max(self._used[i], self._burst(i))
                self._drained[i] = 1.0

    def blame(self, load: float) -> float:
        """Return the probability that a request refused at *load* would have been accepted at a low one."""
        every = because = 0.0
        for row, shares, noise in self._shares(self._index(load)):
            excessive = (1 - noise) * sum(map(float.__mul__, row, shares))
            because += excessive
            every += noise * sum(row) + excessive
        return because / every if every else 0.0

    def told(self, load: float) -> None:
        """Learn that the endpoint said that *load* was too much: that is no noise."""
        self._normalize([
            [weight * share for weight, share in zip(row, [*shares, 0.0], strict=True)]
            for row, shares, _ in self._shares(self._index(load))
        ])  # fmt: skip

    def pass_time(self, seconds: float, accepted: int, reply_seconds: float) -> None:
        """Let *seconds* pass in which so many requests were *accepted*: the world may have changed, bursts refill."""
        self._reply_seconds = reply_seconds
        for i, limit in enumerate(self._limits):
            burst = self._burst(i)
            used = self._used[i] + accepted - limit / reply_seconds * seconds
            used = self._used[i] = min(1.5 * burst, max(0.0, used))
            self._drained[i] = min(1.0, max(0.0, (used / burst - BURST_LEFT) / (1 - BURST_LEFT)))
        self._drift(seconds)

    def highest(self, risk: float) -> float:
        """Return the highest load at which the share that a limit is expected to refuse stays within *risk*."""
        weights = [sum(column) for column in zip(*self._weights, strict=True)]

        def expected(index: int) -> float:
            return sum(map(float.__mul__, weights, self._excess(index)))

        low, high = 0, self._count - 1
        if expected(high) <= risk:
            return self._maximum
        while low < high:  # the first that passes the risk
            middle = (low + high) // 2
            low, high = (low, middle) if expected(middle) > risk else (middle + 1, high)
        if low == 0:
            return LOWEST
        before, here = expected(low - 1), expected(low)
        return float(min(self._maximum, self._limits[low - 1] * RATIO ** ((risk - before) / (here - before))))

    @property
    def noise(self) -> float:
        """The share that is expected to be refused whatever is sent."""
        return sum(noise * sum(row) for noise, row in zip(NOISE * 2, self._weights, strict=True))

    def saved(self) -> list[list[float]]:
        """Return the weights, for `restore`."""
        return self._weights

    def restore(self, weights: list[list[float]], seconds: float) -> None:
        """Return to *weights* as they were, *seconds* ago."""
        self._weights = weights
        for _ in range(10):
            self._drift(seconds / 10)

    _reply_seconds = 0.1

    def _burst(self, index: int) -> float:
        return BURST_SECONDS * self._limits[index] / self._reply_seconds

    def _normalize(self, weights: list[list[float]]) -> None:
        total = sum(map(sum, weights))
        if total <= TINY:
            self._weights = self._fresh()
            return
        self._weights = [[weight / total for weight in row] for row in weights]

    def _drift(self, seconds: float) -> None:
        move, jump = min(0.3, LIMIT_MOVES * seconds), min(0.5, LIMIT_JUMPS * seconds)
        rows = [_moved(row, self._prior, move, jump) for row in self._weights]
        half = len(NOISE)
        move, jump = min(0.3, NOISE_MOVES * seconds), min(0.5, NOISE_JUMPS * seconds)
        sorts = [_mixed(rows[:half], move, jump), _mixed(rows[half:], move, jump)]
        change = min(0.1, SORT_CHANGES * seconds)
        self._weights = [
            [(1 - change) * one + change * other for one, other in zip(row, twin, strict=True)]
            for row, twin in zip(chain(*sorts), chain(*reversed(sorts)), strict=True)
        ]


def _updated(row: list[float], shares: list[float], noise: float, accepted: int, refused: int) -> list[float]:
    """Return the *row* of weights times the likelihood of what happened."""
    some, none = 1 - noise, (1 - noise) ** accepted * noise**refused
    if not refused:
        updated = [
            weight * (some * (1 - share)) ** accepted for weight, share in zip(row, shares, strict=False)
        ]
    else:
        updated = [
            weight * (some * (1 - share)) ** accepted * (noise + some * share) ** refused
            for weight, share in zip(row, shares, strict=False)
        ]
    updated.append(row[-1] * none)
    return updated


def _moved(row: list[float], prior: list[float], move: float, jump: float) -> list[float]:
    """Let the limit move to its neighbours, or jump anywhere."""
    *limits, unlimited = row
    stay, far = (1 - jump) * (1 - 2 * move), jump * sum(row)
    near = (1 - jump) * move
    moved = [
        stay * here + near * (lower + higher) + far * anywhere
        for here, lower, higher, anywhere in zip(
            limits, [limits[0], *limits], [*limits[1:], limits[-1]], prior, strict=False
        )
    ]
    moved.append((1 - jump) * unlimited + far * prior[-1])
    return moved


def _mixed(rows: list[list[float]], move: float, jump: float) -> list[list[float]]:
    """Let the noise move to its neighbours, or jump anywhere."""
    columns = [jump * sum(column) for column in zip(*rows, strict=True)]
    stay, near = (1 - jump) * (1 - 2 * move), (1 - jump) * move
    return [
        [
            stay * here + near * (lower + higher) + anywhere * prior
            for here, lower, higher, anywhere in zip(row, below, above, columns, strict=True)
        ]
        for row, below, above, prior in zip(
            rows, [rows[0], *rows], [*rows[1:], rows[-1]], NOISE_PRIOR, strict=False
        )
    ]
