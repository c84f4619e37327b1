"""Labels that are not the model's in a run: settled before the rows are labelled, then looked up like those of the ledger."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline.engine.canary import bill
from pipeline.engine.carrying.attempt import Carrying
from pipeline.engine.carrying.old import OldAnswers, looking_up
from pipeline.engine.lifecycle import Execution
from pipeline.engine.student.attempt import AuditedAttempt, Read
from pipeline.engine.student.known import as_columns
from pipeline.engine.student.night import Attempt
from pipeline.job.decisions import load_nights, nights_file, save_nights
from pipeline.job.job import Job
from pipeline.job.previous import previous_of
from pipeline.outputs.columns import CARRIED, STUDENT
from pipeline.records import Answers, Outcomes, Prompts, Span
from pipeline.student.store import Night, StudentStore, opened_students
from pipeline.system.atomic import make_private
from pipeline.system.lock import Lock
from pipeline.telemetry.summary import Side

log = logging.getLogger(__name__)


class StandIn(ABC):
    """Who has labels in place of the model, in one execution.

    Attributes:
        who: What the output calls it.
    """

    who: str

    def __init__(self, execution: Execution, store: StudentStore, *, decides: bool = True) -> None:
        """Look labels up in *store*; *decides* if this execution holds its lock, and no other one decides."""
        self._execution, self._store, self._decides = execution, store, decides

    async def settle(self, read: Read) -> Job:
        """Decide which rows it answers, once for a run; returns the job that knows of the decision."""
        execution, mine = self._execution, self._answers
        job, resolver = execution.job, execution.resolver
        resolver.stand_ins = [each for each in resolver.stand_ins if each != mine]
        if not job.options.offline:
            night = None
            if self._decides:
                with ExitStack() as opened:
                    night = await self._attempt(opened).outcome(read)
            if night is not None and night.outcome is not None:
                _say(self.who, night.outcome)
            digest = await execution.threads.run(execution.fence.guard, self._save)
            execution.job = replace(job, **{self.who: digest})
        resolver.stand_ins = [*resolver.stand_ins, mine]
        return execution.job

    def without_its_own(self, read: Read) -> Read:
        """Return what reads the prompts that it has no label for."""

        def others(spans: Iterable[Span]) -> Iterator[tuple[Span, Prompts]]:
            for span, prompts in read(spans):
                keys = [key for key in dict.fromkeys(prompts.keys) if key is not None]
                own = {each.key for each in self._store.look_up(keys)}
                yield span, prompts.where(lambda key, own=own: key not in own) if own else prompts  # type: ignore[misc]

        return others

    @abstractmethod
    def _attempt(self, opened: ExitStack) -> AuditedAttempt:
        """Return the attempt to have labels; what it needs open is *opened* until it is over."""

    def _save(self) -> str:
        """Write what was decided where every command finds it; returns its hash. Runs in a thread."""
        outcomes = [_facts(night, self._store) for night in self._store.nights()]
        return save_nights(self._execution.job, self.who, outcomes) if outcomes else ""

    async def _answers(self, keys: Sequence[bytes]) -> tuple[Answers, Outcomes, str]:
        found = await self._execution.threads.run(self._store.look_up, keys)
        return *as_columns(found, self._execution.job.config.task.unsure_below), self.who


class StudentLabels(StandIn):
    """The student of one execution."""

    who = STUDENT

    def _attempt(self, opened: ExitStack) -> AuditedAttempt:
        del opened
        return Attempt(self._execution, self._store)

    async def side(self) -> Side | None:
        """Return what the run has paid for answers that it ordered twice; None if it has ordered none."""
        night = await self._execution.threads.run(self._store.night, self._execution.record.run_id)
        twice = ((night and night.outcome) or {}).get("self_agreement")
        if not twice:
            return None
        keys = [bytes.fromhex(key) for key in twice["keys"]]
        return bill((await self._execution.resolver.ledger.look_up(keys)).values())


class CarriedLabels(StandIn):
    """Labels of an earlier config, in one execution."""

    who = CARRIED

    def _attempt(self, opened: ExitStack) -> AuditedAttempt:
        execution, previous = self._execution, self._execution.job.options.previous
        old = None
        if previous is not None:
            asked, state = previous_of(previous), execution.job.config.state.dir
            ledger = execution.resolver.ledger
            look_up = opened.enter_context(looking_up(asked, ledger, state, execution.threads))
            old = OldAnswers(asked), look_up
        return Carrying(execution, self._store, old)


def student_of(execution: Execution) -> StudentLabels:
    """Return the student of *execution*, whose file is open as long as its ledger is.

    Raises:
        LockedError: If another run, of another output, decides about the same student now.
    """
    file = _file(execution, STUDENT)
    return StudentLabels(execution, _opened(execution, file, decides=not execution.job.options.offline))


def carried_of(execution: Execution) -> CarriedLabels:
    """Return the labels of an earlier config that *execution* has, or is to have.

    Raises:
        LockedError: If another run, of another output, decides about them now.
    """
    job, file = execution.job, _file(execution, CARRIED)
    store, told = _opened(execution, file, decides=False), len(load_nights(job, CARRIED))
    # What has to be gone on with may be another run's that is at it right now.
    is_decided = bool(job.carried) and job.options.previous is None and store.all_decided(told)
    decides = not (job.options.offline or is_decided)
    if decides:
        _decide_alone(execution, file)
    return CarriedLabels(execution, store, decides=decides)


def _file(execution: Execution, who: str) -> Path:
    return nights_file(execution.job, who).with_suffix(".sqlite")


def _opened(execution: Execution, file: Path, *, decides: bool) -> StudentStore:
    make_private(file.parent)
    if decides:
        _decide_alone(execution, file)
    return execution.keep_open(opened_students(file))


def _decide_alone(execution: Execution, file: Path) -> None:
    execution.keep_open(Lock(file.with_suffix(".lock"), file, "state.dir").held())


def _facts(night: Night, store: StudentStore) -> dict[str, Any]:
    return {"run": night.run, "rows": store.rows(night.run), **(night.outcome or {})}


def _say(who: str, outcome: Mapping[str, Any]) -> None:
    if outcome["status"] == "refused":
        log.warning("%s", outcome["why"])
    else:
        log.info("%s: %s", who, outcome["sentence"])
    if twice := outcome.get("self_agreement"):
        log.info("student: %s", twice["sentence"])
