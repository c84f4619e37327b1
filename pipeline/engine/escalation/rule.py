"""Which rows are put to the second model, and which of the two answers counts: functions of the answers alone.

So the output is the same after a kill, and on a rerun for nothing.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import compress
from operator import not_

import orjson

from pipeline.config.answerers import EscalateSettings
from pipeline.config.providers import second_config
from pipeline.job.job import Job
from pipeline.llm.replies import NO_USAGE, Usage
from pipeline.llm.request import billed, without_reply
from pipeline.outputs.columns import CHANGED, LOST, MENDED, SAME, STANDS, Answered
from pipeline.records import LABELLED, Answer, Outcome, Outcomes, Status

ASKED_AGAIN = {"changed": CHANGED, "same": SAME, "mended": MENDED, "unanswered": STANDS, "failed": LOST}
"""What became of rows that were put to the second model, with the word for it in parts: it gave another label, the same, or
one where there was none; or none, so that the first one stands, or so that there is none at all."""

BESIDE = "; also paid: "
"""Stands in parts between that word and the bill of the run that has paid for one of the answers, if it is not the row's run."""

ON_A_BILL = ("run", "request_id", "attempts", *Usage._fields)

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
    return replace(
        job,
        config=config,
        task=job.second,
        second=None,
        calibration=job.second_calibration,
        second_calibration=None,
    )


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
    answer, beside = _with_both_bills(answer, before, second[0])
    return answer, outcome, source if beside is None else source + BESIDE + _bill(beside)


def _with_both_bills(answer: Answer, first: Answer, second: Answer) -> tuple[Answer, Answer | None]:
    """Return *answer* as the row has it: under its own key, with what the run of the newer of both has paid for both.

    And the answer that another run has paid for, if one of them is: that run has it in the output that it published, or beside.
    """
    older, newer = sorted((second, first), key=lambda each: each.at)
    is_one = older.run == newer.run
    bill = billed(newer).plus(billed(older if is_one else None))
    mine = answer._replace(key=first.key, run=newer.run, **bill._asdict())
    return mine, None if is_one else older


def _bill(answer: Answer) -> str:
    return orjson.dumps([getattr(answer, name) for name in ON_A_BILL]).decode()


def paid_beside(source: str, run: str) -> Answer | None:
    """Return what *run* has paid for a row of this *source* that is on the bill of another run; None if that is nothing."""
    _, is_any, bill = source.partition(BESIDE)
    if not is_any:
        return None
    fields = dict(zip(ON_A_BILL, orjson.loads(bill), strict=True))
    return without_reply(b"", run, NO_USAGE, 0, 0.0)._replace(**fields) if fields["run"] == run else None


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
