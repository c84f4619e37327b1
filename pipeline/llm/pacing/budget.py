"""The money that a run may spend."""

import asyncio
from collections.abc import Iterable

from pipeline.errors import BudgetSpentError
from pipeline.figures import budget, usd

UNPROVEN = 20.0
"""What a request may cost as a multiple of its bound, until the first reply: some endpoints add a prompt of their own."""

LESSONS = 20
"""Replies until what they cost is believed, and no longer the bound."""

LONE = 0.2
"""What a request is likely to cost as a share of its bound: texts have four or five bytes a token, replies are short."""

MARGIN = 1.1
"""On the highest share that recent replies have cost."""

FALL = 0.02
"""Share of the way that this falls with each cheaper reply; it rises at once."""


class Budget:
    """A cap on spending, in US dollars; None is no cap.

    A request sets an upper bound of its cost aside while it is in flight: a token a byte, and the whole ceiling
    of completion tokens. What share of their bounds the replies cost is learned, so that all of the budget can be used.

    Attributes:
        spent_usd: What was billed so far, by earlier executions of the run too.
    """

    def __init__(
        self, max_usd: float | None, spent_usd: float = 0.0, key: str = "limits.max_cost_usd"
    ) -> None:
        """Cap what is spent at *max_usd*, of which *spent_usd* are gone; errors name the *key* of the config."""
        self.spent_usd = spent_usd
        self._max, self._key = max_usd, key
        self._in_flight, self._bounds = 0, 0.0
        self._share, self._lessons = LONE, 0
        self._settled = asyncio.Event()

    def try_reserve(self, bound_usd: float) -> bool:
        """Set money aside for a request that costs at most *bound_usd*, and return whether there is enough."""
        if self._max is not None and not self._fits(self._max - self.spent_usd, bound_usd):
            return False
        self._in_flight += 1
        self._bounds += bound_usd
        return True

    def lacking(self, bound_usd: float) -> "Budget | None":
        """Return the budget in which there is too little for a request that costs at most *bound_usd*; None if there is none."""
        if self._max is not None and not self._fits(self._max - self.spent_usd, bound_usd):
            return self
        return None

    def take(self, bound_usd: float) -> None:
        """Set money aside, whether there is enough or not."""
        self._in_flight, self._bounds = self._in_flight + 1, self._bounds + bound_usd

    def affords(self, bounds_usd: Iterable[float]) -> int:
        """Return for how many of the requests with *bounds_usd*, the first ones, there is enough while nothing is in flight."""
        count, total = 0, 0.0
        for bound_usd in bounds_usd:
            total += bound_usd
            share = self._caution() if count else self._share
            if self._max is not None and share * total > self._max - self.spent_usd:
                break
            count += 1
        return count

    async def reserve(self, bound_usd: float) -> None:
        """Set money aside, waiting for the bills of requests in flight where it may not be enough.

        Raises:
            BudgetSpentError: If it is not enough although nothing is in flight.
        """
        while (lacking := self.lacking(bound_usd)) is not None:
            await lacking.next_bill()
        self.take(bound_usd)

    async def next_bill(self) -> None:
        """Wait for the bill of a request in flight.

        Raises:
            BudgetSpentError: If nothing is in flight.
        """
        if not self._in_flight:
            raise BudgetSpentError(
                f"{self._key}: {usd(self.spent_usd)} of {budget(self._max or 0)} are spent and the next request "
                "might exceed it; raise it and run again to continue"
            )
        self._settled.clear()
        await self._settled.wait()

    def settle(self, bound_usd: float, cost_usd: float | None) -> None:
        """Replace what was set aside by the *cost_usd* that was billed; None if nothing was."""
        self._in_flight -= 1
        self._bounds = self._bounds - bound_usd if self._in_flight else 0.0
        self._settled.set()
        if cost_usd is None:
            return
        self.spent_usd += cost_usd
        if bound_usd > 0:
            share = cost_usd / bound_usd
            lower = self._share + FALL * (share - self._share) if self._lessons else 0.0
            self._share = max(share, lower)
            self._lessons += 1

    def expect_all(self) -> None:
        """Expect replies to cost all of their bounds, until they teach otherwise: reasoning fills what room it gets."""
        self._share = max(1.0, self._share)

    def _fits(self, left: float, bound_usd: float) -> bool:
        if not self._in_flight:  # a bound that is far too high must not end a run that could go on one by one
            return self._share * bound_usd <= left
        return self._caution() * (self._bounds + bound_usd) <= left

    def _caution(self) -> float:
        """Return the share of its bound that a request in flight is expected to cost at most."""
        if self._lessons >= LESSONS:
            return MARGIN * self._share
        return max(1.0, self._share) if self._lessons else UNPROVEN


class Portion(Budget):
    """A budget within another one, such as that of a second model: what is spent of it is spent of the *whole*, too."""

    def __init__(self, whole: Budget, max_usd: float | None, spent_usd: float, key: str) -> None:
        super().__init__(max_usd, spent_usd, key)
        self._whole = whole

    def try_reserve(self, bound_usd: float) -> bool:
        """Set money aside in both, and return whether there is enough."""
        if self.lacking(bound_usd) is not None:
            return False
        self.take(bound_usd)
        return True

    def lacking(self, bound_usd: float) -> Budget | None:
        """Return which of both has too little; None if neither has."""
        return super().lacking(bound_usd) or self._whole.lacking(bound_usd)

    def take(self, bound_usd: float) -> None:
        """Set money aside in both."""
        super().take(bound_usd)
        self._whole.take(bound_usd)

    def settle(self, bound_usd: float, cost_usd: float | None) -> None:
        """Replace what was set aside in both by the *cost_usd* that was billed."""
        super().settle(bound_usd, cost_usd)
        self._whole.settle(bound_usd, cost_usd)

    def expect_all(self) -> None:
        """Expect replies to cost all of their bounds, in both."""
        super().expect_all()
        self._whole.expect_all()
