"""What `plan` says of the student: how many rows are its own already, and whether it is worth it for the others."""

from math import sqrt
from typing import Any

from pipeline.engine.student.attempt import LEAST_ROOM
from pipeline.engine.student.elsewhere import answered_elsewhere
from pipeline.engine.student.night import LEAST_SAVING
from pipeline.engine.student.rehearsal import Rehearsal
from pipeline.job.decisions import load_nights, nights_file
from pipeline.job.job import Job
from pipeline.outputs.columns import CARRIED, STUDENT
from pipeline.records import LABELLED, Outcome, Prompt
from pipeline.student.store import opened_students

GUESSES = ((0.95, 0.5), (0.98, 0.25), (1.0, 0.1))
"""Share of the rows that a first certificate covers, for targets up to so much: measured, and on the careful side."""


class Forecast:
    """The forecast of one plan.

    Attributes:
        own: How many prompts have the student's label already.
        carried: How many have labels of an earlier config.
    """

    def __init__(self, job: Job) -> None:
        self._job, self.own, self.carried = job, 0, 0
        student = job.config.student
        self._rehearsal = Rehearsal(job.config, student) if student else None
        who = (CARRIED, STUDENT) if student else (CARRIED,)
        self._files = {each: nights_file(job, each).with_suffix(".sqlite") for each in who}

    @property
    def others_labels(self) -> int:
        """How many prompts have labels that are not the model's."""
        return self.own + self.carried

    def others(self, prompts: list[Prompt]) -> list[Prompt]:
        """Return those of *prompts* that the run has to find answers to, and count the others."""
        if self._job.options.selection is not None:
            return prompts
        for who, file in self._files.items():
            if not file.exists():
                continue
            with opened_students(file) as store:
                certified = {each.key for each in store.look_up([prompt.key for prompt in prompts])}
            self.own += len(certified) if who == STUDENT else 0
            self.carried += len(certified) if who == CARRIED else 0
            prompts = [prompt for prompt in prompts if prompt.key not in certified]
        return prompts

    def learn(self, prompt: Prompt, outcome: Outcome) -> None:
        """Take note of the *outcome* of a prompt that the model has answered."""
        if self._rehearsal is not None and outcome.status in LABELLED:
            self._rehearsal.add(prompt.key, prompt.text, outcome.labels)

    def of(self, answered: int, missing: int) -> dict[str, Any] | None:
        """Return what the student may spare of *missing* requests, given how many prompts are *answered*; None if none is tried."""
        job, student = self._job, self._job.config.student
        if student is None or job.options.selection is not None:
            return None
        bought, audits = max(0, student.answers - answered), student.audited
        if bought and student.train_on:
            bought = max(0, bought - answered_elsewhere(job))
        share, source = _coverage(job)
        tried = missing - bought >= LEAST_ROOM * audits
        likely = least = most = missing
        if tried:
            least = bought + max(0, round(audits - 3 * sqrt(audits)))  # how many fall is up to coins
            left = missing - bought
            spared = self._rehearsal.spared(left) if self._rehearsal is not None else None
            if spared is not None:
                share, source = spared.about, "rehearsal"
                likely, most = bought + round((1 - share) * left), bought + round((1 - spared.least) * left)
                if not (bought or student.train_on):  # else it learns more than was rehearsed with
                    least = max(least, round((1 - spared.most) * left))
            else:
                likely = min(missing, round(missing - share * left + audits))
            least = min(likely, least)
        return {
            "own": self.own,
            "bought": bought if tried else 0,
            "audits": audits if tried else 0,
            "coverage": share,
            "coverage_source": source,
            "requests_least": least,
            "requests_likely": likely,
            "requests_most": most,
            "worth_it": missing - likely >= LEAST_SAVING * missing > 0,
        }


def _coverage(job: Job) -> tuple[float, str]:
    nights = [night for night in load_nights(job, STUDENT) if "coverage" in night]
    if nights:
        last = nights[-1]
        return (last["coverage"] if last["status"] == "certified" else 0.0), "last night"
    target = job.config.student.target if job.config.student else 1.0
    return next(share for most, share in GUESSES if target <= most), "guess"
