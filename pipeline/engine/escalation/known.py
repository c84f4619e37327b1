"""What a second model has answered, as the output has it: for commands that read what was answered."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pipeline.engine.escalation.rule import Asks, Pair, asks, decided, second_job
from pipeline.job.job import Job
from pipeline.ledger.store import Store
from pipeline.records import Prompt
from pipeline.tasks.parse import Parser


class Escalated(NamedTuple):
    """A row that is put to the second model.

    Attributes:
        first: The first model's answer.
        second: The second one's; None as long as there is none.
        row: What the row has of both; None as long as there is no second answer.
    """

    first: Pair
    second: Pair | None
    row: Pair | None


def escalated(
    job: Job, store: Store | None, prompts: Sequence[Prompt], known: Mapping[bytes, Pair]
) -> dict[bytes, Escalated]:
    """Return which of *prompts*, to which the first answers are *known*, are put to the second model of *job*, by key."""
    settings = job.config.escalate
    if settings is None or job.second is None:
        return {}
    is_asked, parser = asks(settings), Parser(job.config.task, job.calibration)
    unsure = {
        prompt.key: (prompt.text, known[prompt.key])
        for prompt in prompts
        if prompt.key in known and _is_unsure(parser, known[prompt.key], is_asked)
    }
    second = second_job(job)
    keys = second.task.keys([text for text, _ in unsure.values()])
    found = store.look_up([key for key in keys if key]) if store and unsure else {}
    seconds = Parser(second.config.task, second.calibration)
    rows: dict[bytes, Escalated] = {}
    for (key, (_, first)), other in zip(unsure.items(), keys, strict=True):
        answer = found.get(other) if other else None
        outcome = seconds.outcome(answer) if answer else None
        if answer is None or outcome is None or not seconds.is_final(outcome.status, answer.asks):
            rows[key] = Escalated(first, None, None)
            continue
        joined, meant, _ = decided(first, (answer, outcome))
        rows[key] = Escalated(first, (answer, outcome), (joined, meant))
    return rows


def _is_unsure(parser: Parser, first: Pair, is_asked: Asks) -> bool:
    answer, outcome = first
    final = parser.is_final(outcome.status, answer.asks)
    return final and is_asked(outcome.status, outcome.confidence)
