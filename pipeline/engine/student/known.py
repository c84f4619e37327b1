"""The student's certified answers, as the output has them: for the run, and for commands that read what was answered."""

from collections.abc import Iterable, Mapping, Sequence

from pipeline.job.decisions import student_file
from pipeline.job.job import Job
from pipeline.outputs.columns import STUDENT
from pipeline.records import Answer, Answers, Outcome, Outcomes, Status, columns_by_name
from pipeline.student.store import Proposal, opened_students


def as_columns(found: Sequence[Proposal]) -> tuple[Answers, Outcomes]:
    """Return the certified *found* as answers, and what they mean."""
    outcomes = [_outcome(each) for each in found]
    return Answers.of(map(_answer, found)), columns_by_name(Outcome._fields, outcomes)


def student_answers(job: Job, keys: Iterable[bytes]) -> Mapping[bytes, tuple[Answer, Outcome]]:
    """Return what the student of *job* answers to those of *keys* that it has a certificate for."""
    file, wanted = student_file(job).with_suffix(".sqlite"), list(keys)
    if not file.exists() or not wanted:
        return {}
    with opened_students(file) as store:
        return {each.key: (_answer(each), _outcome(each)) for each in store.look_up(wanted)}


def _outcome(proposal: Proposal) -> Outcome:
    return Outcome(Status.OK, proposal.labels, proposal.score)


def _answer(proposal: Proposal) -> Answer:
    """Return the answer to one prompt: of the run that certified it, and free."""
    return Answer(
        key=proposal.key, run=proposal.run, text=None, finish=None, status=None, error=None, logprobs=None,
        prompt_tokens=0, cached_tokens=0, completion_tokens=0, cost_usd=0.0, model=STUDENT, request_id=None,
        attempts=0, asks=0, at=0.0,
    )  # fmt: skip
