"""Which rows are put to the second model, and which of the two answers counts: functions of the answers alone.

So the output is the same after a kill, and on a rerun for nothing.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import reduce
from itertools import compress
from operator import not_

from pipeline.config.answerers import EscalateSettings
from pipeline.config.providers import second_config
from pipeline.job.job import Job
from pipeline.llm.replies import Usage
from pipeline.llm.request import billed
from pipeline.outputs.columns import CHANGED, LOST, MENDED, SAME, STANDS, Answered
from pipeline.records import LABELLED, Answer, Outcome, Outcomes, Status

ASKED_AGAIN = {"changed": CHANGED, "same": SAME, "mended": MENDED, "unanswered": STANDS, "failed": LOST}
"""What became of rows that were put to the second model, with the word for it in parts: it gave another label, the same, or
one where there was none; or none, so that the first one stands, or so that there is none at all."""

Pair = tuple[Answer, Outcome]
"""An answer with what it means."""

Asks = Callable[[Status, float | None], bool]
"""Whether a row whose first answer has this status and this confidence is put to the second model."""


def second_job(job: Job) -> Job:
    """Return *job* as if the second model were its only one.

    Raises:
        AssertionError: If it has none.
    """
    config = second_config(job.config)
    assert config is not None and job.second is not None, "the job has a second model"  # noqa: S101, PT018
    return replace(job, config=config, task=job.second, second=None, calibration=None)


def asks(settings: EscalateSettings) -> Asks:
    """Return what tells which rows are put to the second model: unsure ones, and those that got no label."""
    on, below = frozenset(map(Status, settings.on)), settings.below

    def is_unsure(status: Status, confidence: float | None) -> bool:
        if status in LABELLED:
            return confidence is not None and confidence < below
        return status in on

    return is_unsure


def decided(first: Pair, second: Pair) -> tuple[Answer, Outcome, str]:
    """Return the answer of a row that both models were asked about, what it means, and whose it is.

    The second one decides, unless it gave no label and the first one did: then that one stands, and the row is unsure.
    """
    answer, outcome = second
    (before, meant), why = first, outcome.error or outcome.status.value
    if outcome.status in LABELLED:
        same = set(outcome.labels) == set(meant.labels)
        source = MENDED if meant.status not in LABELLED else SAME if same else CHANGED
    elif meant.status in LABELLED:
        answer, source = before, STANDS
        error = f"the second model gave no label: {why}"
        outcome = Outcome(Status.UNSURE, meant.labels, meant.confidence, error)
    else:
        source = LOST
        outcome = outcome._replace(
            error=f"{why}; the first model gave none either: {meant.error or meant.status.value}"
        )
    return _with_both_bills(answer, before, second[0]), outcome, source


def _with_both_bills(answer: Answer, first: Answer, second: Answer) -> Answer:
    """Return *answer* as the row has it: under its own key, with what the run of the newer of both has paid for both."""
    run = max(first, second, key=lambda each: each.at).run
    # What an earlier run has paid is on that run's bill, and in the output that it published.
    paid: Iterable[Usage] = (billed(each) for each in (first, second) if each.run == run)
    bill = reduce(Usage.plus, paid)
    return answer._replace(key=first.key, run=run, **bill._asdict())


def split(answered: Answered, is_asked: Asks) -> tuple[Answered, list[Pair]]:
    """Split what the first model has answered into what stays and what is put to the second one."""
    stays, asked = Answered(), list[Pair]()
    stays.sources.update(answered.sources)
    for answers, outcomes in answered.batches:
        mine = list(map(is_asked, outcomes["status"], outcomes["confidence"]))
        if stays.sources:  # answers that are not the model's
            mine = [each and key not in stays.sources for each, key in zip(mine, answers, strict=True)]
        if not any(mine):
            stays.add_all(answers, outcomes)
            continue
        rows = zip(*(compress(outcomes[name], mine) for name in Outcome._fields), strict=True)
        asked += zip(answers.where(mine).values(), map(Outcome._make, rows), strict=True)
        others = list(map(not_, mine))
        rest: Outcomes = {name: list(compress(each, others)) for name, each in outcomes.items()}
        stays.add_all(answers.where(others), rest)
    return stays, asked


def spared(job: Job) -> Asks:
    """Return what tells which first answers are not asked again although `--retry` names their status: but for `--retry all`.

    A first answer that is put to the second model is no row's last word.
    """
    settings, is_all = job.config.escalate, Status.OK in job.options.retry
    return (lambda *_: False) if settings is None or job.second is None or is_all else asks(settings)


def second_retried(retry: Iterable[str]) -> frozenset[str]:
    """Return the statuses of second answers that are asked again: one without a label may have left its row unsure."""
    statuses = frozenset(retry)
    return statuses | (frozenset(Status) - LABELLED if Status.UNSURE in statuses else frozenset())
