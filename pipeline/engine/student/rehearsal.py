"""What a student would come to, rehearsed on the answers that there are: taught, audited and certified many times over."""

from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.config import Config
from pipeline.config.answerers import StudentSettings
from pipeline.engine.student.attempt import LEAST_ROOM
from pipeline.engine.student.lesson import LEAST_ANSWERS
from pipeline.engine.student.night import LEAST_SAVING
from pipeline.quality.drawing import Lowest
from pipeline.student.certificate import Tier, certify
from pipeline.student.model import Labels, Student, out_of_fold
from pipeline.student.thresholds import candidates

TIMES = 200
MOST_TAUGHT = 5_000
"""Answers that are learned from; more would take a plan too long, and say the same."""

TAIL = 0.03
"""Share of the rehearsals beyond each end of the range."""

LEARNS = 0.15
"""So much more of the rows a student may answer that was taught by all answers and not, as here, by four fifths of them."""


class Spared(NamedTuple):
    """Which share of the unanswered prompts the student answers: at least, about, and at most."""

    least: float
    about: float
    most: float


class Rehearsal:
    """Collects answered rows, and rehearses with them."""

    def __init__(self, config: Config, settings: StudentSettings) -> None:
        self._task, self._settings = config.task, settings
        self._answered = Lowest[tuple[str, Labels]](MOST_TAUGHT)

    def add(self, key: bytes, text: str, labels: Labels) -> None:
        """Take in an answered row."""
        self._answered.add(key, (text, labels))

    def spared(self, missing: int) -> Spared | None:
        """Return which share of so many prompts is spared; None if there are too few answers to know."""
        if len(self._answered) < LEAST_ANSWERS or not missing:
            return None
        rows = [*self._answered.first(MOST_TAUGHT).values()]
        names = [label.name for label in self._task.labels]
        is_single, reserved = self._task.kind == "single", self._settings.labels_always_asked
        make = partial(Student, names, single=is_single, reserved=reserved)
        counted, answers = make().features([text for text, _ in rows]), [labels for _, labels in rows]
        scores, agree, likely = out_of_fold(make, counted, answers)
        scores = np.where(likely, -1.0, scores)
        random = np.random.default_rng(0)  # so that a plan says the same when it is asked again
        found = [self._night(scores, agree, missing, random) for _ in range(TIMES)]
        least, about, most = np.quantile(found, (TAIL, 0.5, 1 - TAIL)).tolist()
        return Spared(least, about, min(1.0, most + LEARNS))

    def _night(
        self, scores: NDArray[np.float64], agree: NDArray[np.bool_], missing: int, random: np.random.Generator
    ) -> float:
        """Return which share is spared on one night: thresholds are found with some of the rows, and audited with the others."""
        some = np.unique(random.integers(len(scores), size=len(scores)))
        fits = some[scores[some] >= 0]
        thresholds = candidates(scores[fits], agree[fits], self._settings.target)
        if not thresholds:
            return 0.0
        # Where a threshold was found it looks better than it is.
        drawn = np.setdiff1d(np.arange(len(scores)), some)
        sure = drawn[scores[drawn] >= thresholds[-1]]
        audits, room = self._settings.audited, len(sure) / len(drawn) * missing
        if room < LEAST_ROOM * audits or room - audits < LEAST_SAVING * missing:
            return 0.0
        # Each is audited by a coin of its own, so that their number is up to chance.
        asked = random.choice(sure, size=max(1, random.poisson(audits)))
        tiers = [
            Tier(
                each,
                round(float((scores[drawn] >= each).mean()) * missing),
                int((inside := scores[asked] >= each).sum()),
                int((inside & ~agree[asked]).sum()),
            )
            for each in thresholds
        ]
        tier = certify(tiers, self._settings.target, self._settings.delta).tier
        return tier.local / missing if tier else 0.0
