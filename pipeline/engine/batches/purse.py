"""The money for batches: what may still be handed in, and when it is better to wait, so that a small budget is not spent in crumbs.

A batch sets aside the most that it can cost, of which it costs a part. What is left over comes free when it ends, and goes
into the next one.
"""

from collections.abc import Sequence

from pipeline.engine.batches.cutting import Cutter
from pipeline.errors import BudgetSpentError
from pipeline.figures import budget, usd
from pipeline.llm.batch.book import Submission
from pipeline.llm.dispatcher import Dispatcher

CRUMB = 0.05
"""A further batch that is cut short by the budget has this share of the answers so far at least: a batch may take a day."""


class Purse:
    """The budget of one run, as its batches see it."""

    def __init__(self, cap_usd: float | None, run: str) -> None:
        self._cap, self._run = cap_usd, run

    def left_usd(self, asker: Dispatcher, under_way: Sequence[Submission]) -> float | None:
        """Return what may be set aside for further batches beside those *under_way*; None for no limit."""
        return None if self._cap is None else self._cap - asker.budget.spent_usd - self._set_aside(under_way)

    def waits(self, asker: Dispatcher, under_way: Sequence[Submission]) -> bool:
        """Return whether more is set aside for what is *under_way* than is left: it comes free first, and is handed in at once."""
        left = self.left_usd(asker, under_way)
        return left is not None and 0 < left < self._set_aside(under_way)

    @staticmethod
    def is_crumb(cutter: Cutter, answers: int) -> bool:
        """Return whether what the budget allows of *cutter*'s rows is too little to wait for, after so many *answers*."""
        return cutter.is_short and not cutter.made and cutter.lines < CRUMB * answers

    def short(self, asker: Dispatcher) -> BudgetSpentError:
        """Return the error that ends the run."""
        spent, cap = usd(asker.budget.spent_usd), budget(self._cap or 0.0)
        return BudgetSpentError(
            f"limits.max_cost_usd: {spent} of {cap} are spent and the next batch might exceed it; raise it and run again "
            "to continue"
        )

    def _set_aside(self, under_way: Sequence[Submission]) -> float:
        return sum(each.bound_usd for each in under_way if each.run == self._run)
