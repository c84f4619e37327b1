"""The brake on paid failure: a run whose answers are nearly all unusable stops early, or at least says so."""

import logging
from collections import Counter
from collections.abc import Callable

from pipeline.config import LimitSettings
from pipeline.errors import ConfigError
from pipeline.records import LABELLED, Answer, Outcome, Status

log = logging.getLogger(__name__)

FIRST_ANSWERS, MOST_UNUSABLE = 20, 19
"""Of so many rows that are answered first, so many that are unusable for one reason end the run."""

SECOND_ASKS = 3
"""Of so many rows the second ask must have brought nothing either: where replies are slow, these come long after the first ones."""

WINDOW = 300
"""Answers that are looked at together later; the same share of them is worth a warning."""

FREE = frozenset({Status.ERROR, Status.TOO_LONG, Status.FILTERED})
"""Statuses of answers that nobody has paid a reply for, as a rule."""


class Brake:
    """Looks at each answer as it becomes durable."""

    def __init__(
        self, limits: LimitSettings, rows: int, stop: Callable[[BaseException], None], *, warns: bool = True
    ) -> None:
        """Watch a run.

        Args:
            limits: With `max_failed`.
            rows: Rows of the whole input.
            stop: Called with the error that must end the run.
            warns: Whether it is said that many rows fail, if that is no reason to end.
        """
        self._allowed, self._rows, self._stop = limits.max_failed, rows, stop
        may_all_fail = self._allowed.allows(rows, rows)
        # In a job that is hardly larger there is nothing left to save.
        self._stops = not may_all_fail and rows > FIRST_ANSWERS
        self._firsts = self._answers = self._failed = self._failed_in_window = 0
        self._reasons: Counter[str] = Counter()
        # Rows whose second ask brought a usable answer, and whose last one did not.
        self._mended = self._unmended = 0
        self._warned = may_all_fail or not warns  # there is nothing to warn of

    def on_answer(self, answer: Answer, outcome: Outcome, *, final: bool) -> None:
        """Count an answer; *final* if its row is not asked again."""
        paid = answer.status not in FREE
        self._answers += paid
        # Second asks are paid, too, but ten rows would be few to judge the model by.
        first = paid and answer.asks == 1
        self._firsts += first
        if outcome.status not in LABELLED:
            self._on_failed(outcome, paid=paid, final=final)
        else:
            self._mended += not first
        if paid and outcome.status is Status.INVALID and self._stops:
            self._judge(outcome.error or "", first=first, final=final)
        if paid and self._answers % WINDOW == 0:
            self._failed_in_window = 0

    def _on_failed(self, outcome: Outcome, *, paid: bool, final: bool) -> None:
        self._failed += final
        self._failed_in_window += paid
        error = outcome.error or outcome.status
        if self._warned:
            return
        if not self._allowed.allows(self._failed, self._rows):
            self._warn(f"failed rows: {self._failed}, more than limits.max_failed allows", error)
        elif self._failed_in_window * FIRST_ANSWERS >= WINDOW * MOST_UNUSABLE:
            self._warn(f"nearly all of the last {WINDOW} paid answers are unusable", error)

    def _judge(self, error: str, *, first: bool, final: bool) -> None:
        # What follows the reason is the reply, which differs from row to row.
        reason = error.partition(": ")[0]
        self._reasons[reason] += first and self._firsts <= FIRST_ANSWERS
        self._unmended += final
        # A model that answers the stricter wording can label the table, at twice the price.
        if self._reasons[reason] - self._mended >= MOST_UNUSABLE and self._unmended >= SECOND_ASKS:
            self._stops = False  # once is enough
            self._stop(
                ConfigError(
                    f"{MOST_UNUSABLE} of the first {min(self._firsts, FIRST_ANSWERS)} paid answers are unusable, at last: {error}; try "
                    "another model.name, task.instructions or model.structured_output with `probe`; the answers are kept"
                )
            )

    def _warn(self, what: str, error: str) -> None:
        self._warned = True
        log.warning("%s, at last: %s; the run goes on", what, error)
