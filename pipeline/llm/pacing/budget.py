"""The money that a run may spend."""

from pipeline.errors import BudgetSpentError


class Budget:
    """A cap on spending, in US dollars; None is no cap.

    Attributes:
        spent_usd: What was billed so far, by earlier executions of the run too.
    """

    def __init__(self, max_usd: float | None, spent_usd: float = 0.0) -> None:
        self._max = max_usd
        self.spent_usd = spent_usd
        self._reserved = 0.0

    def reserve(self, estimate_usd: float) -> None:
        """Reserve *estimate_usd* for a request that is about to be sent.

        Raises:
            BudgetSpentError: If the budget might be exceeded.
        """
        # What is in flight counts with its estimate, or all workers together could overspend at the end.
        if self._max is not None and self.spent_usd + self._reserved + estimate_usd > self._max:
            raise BudgetSpentError(
                f"limits.max_cost_usd: {self.spent_usd:.4f} of {self._max:g} USD are spent and the next request "
                "might exceed it; raise it and run again to continue"
            )
        self._reserved += estimate_usd

    def settle(self, estimate_usd: float, cost_usd: float) -> None:
        """Replace the reservation of *estimate_usd* by the *cost_usd* that was billed."""
        self._reserved -= estimate_usd
        self.spent_usd += cost_usd
