"""The student's answers in a run: settled before the rows are labelled, then looked up like those of the ledger."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pipeline.engine.canary import bill
from pipeline.engine.lifecycle import Execution
from pipeline.engine.student.known import as_columns
from pipeline.engine.student.night import Attempt, Read
from pipeline.job.decisions import save_student, student_file
from pipeline.job.job import Job
from pipeline.outputs.columns import STUDENT
from pipeline.records import Answers, Outcomes
from pipeline.student.store import Night, StudentStore, opened_students
from pipeline.system.atomic import make_private
from pipeline.system.lock import Lock
from pipeline.telemetry.summary import Side

log = logging.getLogger(__name__)


class StudentLabels:
    """The student of one execution."""

    def __init__(self, execution: Execution, store: StudentStore) -> None:
        self._execution, self._store = execution, store

    async def settle(self, read: Read) -> Job:
        """Decide which rows the student answers, once for a run; returns the job that knows of the decision."""
        execution = self._execution
        job = execution.job
        execution.resolver.stand_in = None
        if not job.options.offline:
            attempt = Attempt(execution, self._store)
            night = await attempt.outcome(read)
            if night is not None and night.outcome is not None:
                _say(night.outcome)
            digest = await execution.threads.run(execution.fence.guard, self._save)
            execution.job = replace(job, student=digest)
        execution.resolver.stand_in = self._answers
        return execution.job

    async def side(self) -> Side | None:
        """Return what the run has paid for answers that it ordered twice; None if it has ordered none."""
        night = await self._execution.threads.run(self._store.night, self._execution.record.run_id)
        twice = ((night and night.outcome) or {}).get("self_agreement")
        if not twice:
            return None
        keys = [bytes.fromhex(key) for key in twice["keys"]]
        return bill((await self._execution.resolver.ledger.look_up(keys)).values())

    def _save(self) -> str:
        """Write what was decided where every command finds it; returns its hash. Runs in a thread."""
        outcomes = [_facts(night, self._store) for night in self._store.nights()]
        return save_student(self._execution.job, outcomes) if outcomes else ""

    async def _answers(self, keys: Sequence[bytes]) -> tuple[Answers, Outcomes, str]:
        found = await self._execution.threads.run(self._store.look_up, keys)
        return *as_columns(found), STUDENT


def student_of(execution: Execution) -> StudentLabels:
    """Return the student of *execution*, whose file is open as long as its ledger is.

    Raises:
        LockedError: If another run, of another output, decides about the same student now.
    """
    file = student_file(execution.job).with_suffix(".sqlite")
    make_private(file.parent)
    if not execution.job.options.offline:
        execution.keep_open(Lock(file.with_suffix(".lock"), file, "state.dir").held())
    return StudentLabels(execution, execution.keep_open(opened_students(file)))


def _facts(night: Night, store: StudentStore) -> dict[str, Any]:
    return {"run": night.run, "rows": store.rows(night.run), **(night.outcome or {})}


def _say(outcome: Mapping[str, Any]) -> None:
    if outcome["status"] == "refused":
        log.warning("%s", outcome["why"])
    else:
        log.info("student: %s", outcome["sentence"])
    if twice := outcome.get("self_agreement"):
        log.info("student: %s", twice["sentence"])
