"""The calls without a reply since the last one, and whether bad luck explains them."""

WEIGHT = 0.02
"""Of one call in the share that gets no reply: it looks back over about 50."""

CHANCE = 1e-6
"""Probability of so many on end, at the share that got none before, below which bad luck does not explain them."""


class Streak:
    """Tells an outage from bad luck by what was asked, and not by a time in which hardly anything may have been."""

    def __init__(self) -> None:
        self._failed = self._counted = 0.0  # weights; what is counted is near 1 after some hundred calls
        self._on_end, self._share_before = 0, 0.0

    @property
    def may_be_chance(self) -> bool:
        """Whether it is no rare event that so many calls on end get no reply."""
        return self._share_before**self._on_end >= CHANCE

    def on_reply(self) -> None:
        """End the streak."""
        self._count(0.0)
        self._on_end, self._share_before = 0, self._failed / self._counted

    def on_failure(self) -> None:
        """Lengthen it."""
        self._count(1.0)
        self._on_end += 1

    def _count(self, failed: float) -> None:
        self._failed += WEIGHT * (failed - self._failed)
        self._counted += WEIGHT * (1 - self._counted)
