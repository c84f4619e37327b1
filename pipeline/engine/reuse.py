"""Which stored answers may be reused: one rule for the run, which does, and for `plan`, which says how many there are."""

from collections.abc import Callable, Iterable

from pipeline.records import Answer, Outcome, Status
from pipeline.system.redaction import is_spoilt
from pipeline.tasks.parse import Parser


class Reuse:
    """Tells which stored answers to one model's prompts may be reused.

    Attributes:
        doubtful: Statuses of answers that are worth a look; those of all others may be.
        spares: Tells by status and confidence which answers may be although they are of a status to retry.
    """

    def __init__(self, retry: Iterable[str], run: str | None = None) -> None:
        """Ask afresh for answers whose status is in *retry*, unless *run* itself has paid for them."""
        self._retry, self._run = frozenset(retry), run
        self.doubtful = self._retry | {Status.INVALID}
        self.spares: Callable[[Status, float | None], bool] = lambda *_: False

    def allows(self, answer: Answer, outcome: Outcome) -> bool:
        """Return whether a stored answer is final and need not be asked again."""
        return Parser.is_final(outcome.status, answer.asks) and not self.is_retried(answer, outcome)

    def is_retried(self, answer: Answer, outcome: Outcome) -> bool:
        """Return whether a stored answer of another run is asked afresh: as told, or because it is not the model's words."""
        told = outcome.status in self._retry and not self.spares(outcome.status, outcome.confidence)
        lost = outcome.status is Status.INVALID and is_spoilt(answer.text)
        return answer.run != self._run and (told or lost)
