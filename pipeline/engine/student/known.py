"""Labels that were not the model's to give, as the output has them: for the run, and for commands that read what was answered."""

from collections.abc import Iterable, Mapping, Sequence

from pipeline.job.decisions import Question, nights_file
from pipeline.outputs.columns import CARRIED, STUDENT
from pipeline.records import Answer, Answers, Outcome, Outcomes, Status, columns_by_name
from pipeline.student.store import Proposal, opened_students


def as_columns(found: Sequence[Proposal], unsure_below: float | None) -> tuple[Answers, Outcomes]:
    """Return the certified *found* as answers, and what they mean."""
    outcomes = [_outcome(each, unsure_below) for each in found]
    return Answers.of(map(_answer, found)), columns_by_name(Outcome._fields, outcomes)


def stand_ins(question: Question, keys: Iterable[bytes]) -> Mapping[bytes, tuple[Answer, Outcome]]:
    """Return what those of *keys* have that carry labels of an earlier config, or that the student has a certificate for."""
    found: dict[bytes, tuple[Answer, Outcome]] = {}
    wanted, task = list(keys), question.config.task
    for who in (CARRIED, STUDENT) if question.config.student else (CARRIED,):
        file = nights_file(question, who).with_suffix(".sqlite")
        if wanted and file.exists():
            with opened_students(file) as store:
                found |= {
                    each.key: (_answer(each), _outcome(each, task.unsure_below))
                    for each in store.look_up(wanted)
                }
    return found


def _outcome(proposal: Proposal, unsure_below: float | None) -> Outcome:
    # A student was certified whatever its scores are; who was carried was sure or not when it was asked.
    unsure = proposal.model is not None and unsure_below is not None and proposal.score is not None
    is_unsure = unsure and (proposal.score or 0.0) < (unsure_below or 0.0)
    return Outcome(Status.UNSURE if is_unsure else Status.OK, proposal.labels, proposal.score)


def _answer(proposal: Proposal) -> Answer:
    """Return the answer to one prompt: of the run whose it is, and free."""
    return Answer(
        key=proposal.key, run=proposal.run, text=None, finish=None, status=None, error=None, logprobs=None,
        prompt_tokens=0, cached_tokens=0, completion_tokens=0, cost_usd=0.0, model=proposal.model or STUDENT,
        request_id=None, attempts=0, asks=0, at=0.0,
    )  # fmt: skip
