"""What a run has to teach: the answered rows at hand, and which prompts are to be asked first where they are too few."""

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

from pipeline.job.job import Job
from pipeline.quality.drawing import Lowest
from pipeline.records import LABELLED, Answers, Prompts, columns_of
from pipeline.student.model import Labels, Student, out_of_fold
from pipeline.student.store import StudentStore
from pipeline.student.thresholds import candidates
from pipeline.tasks.parse import Parser

LEAST_ANSWERS = 500
"""With fewer there is nothing to be learned that a bound would not eat up."""

MOST_ANSWERS = 20_000
"""More hardly teach more, and memory is bounded: then those with the lowest keys are taken."""


class Taught(NamedTuple):
    """A student, and the thresholds that are worth trying, the highest first."""

    student: Student
    thresholds: list[float]


class Lesson:
    """Collects answered rows, and unanswered ones."""

    def __init__(self, job: Job, store: StudentStore) -> None:
        settings = job.config.student
        assert settings is not None, "the job has a student"  # noqa: S101
        self._settings, self._task, self._store = settings, job.config.task, store
        self._parser = Parser(job.config.task)
        self._answered = Lowest[tuple[str, Labels]](MOST_ANSWERS)
        self._open = Lowest[tuple[str, bool]](settings.answers)
        self.rows = 0

    @property
    def answered(self) -> int:
        """How many answers there are to learn from."""
        return len(self._answered)

    def take(self, prompts: Prompts, known: Answers) -> None:
        """Take in a chunk; *known* are the answers that the ledger has."""
        self.learn(prompts, known)
        left = unanswered(prompts, known, self._store)
        self.rows += len(left)
        self._open.update((prompt.key, (prompt.text, prompt.truncated)) for prompt in left if prompt)

    def learn(self, prompts: Prompts, known: Answers) -> None:
        """Take in those of *prompts* that have an answer among the *known* ones; the others may be of another table."""
        self._answered.update(self._labelled(prompts, known))

    def first(self, count: int) -> Prompts:
        """Return *count* unanswered prompts, chosen at random from the whole table, and the same ones whenever this is asked."""
        chosen = self._open.first(count)
        return Prompts([*chosen], *columns_of(2, [*chosen.values()]))

    def teach(self) -> Taught:
        """Teach a student by all answers."""
        rows = [*self._answered.first(MOST_ANSWERS).values()]
        names = [label.name for label in self._task.labels]
        make = partial(
            Student,
            names,
            single=self._task.kind == "single",
            reserved=self._settings.labels_always_asked,
        )
        student, answers = make(), [labels for _, labels in rows]
        counted = student.features([text for text, _ in rows])
        scores, agree, likely = out_of_fold(make, counted, answers)
        found = candidates(scores[~likely], agree[~likely], self._settings.target)
        return Taught(student.fit(counted, answers), list(found))

    def _labelled(self, prompts: Prompts, known: Answers) -> Iterator[tuple[bytes, tuple[str, Labels]]]:
        if not len(known):
            return
        outcomes = self._parser.outcomes(known)
        meant = dict(zip(known, zip(outcomes["status"], outcomes["labels"], strict=True), strict=True))
        for key, text in zip(prompts.keys, prompts.texts, strict=True):
            if key in meant and text is not None:
                status, labels = meant[key]
                if status in LABELLED:
                    yield key, (text, labels)


def unanswered(prompts: Prompts, known: Answers, store: StudentStore) -> Prompts:
    """Return those of *prompts* that the ledger has no answer to, and the student no certified one."""
    left = prompts.where(lambda key: key is not None and key not in known)
    own = {each.key for each in store.look_up([key for key in dict.fromkeys(left.keys) if key is not None])}
    return left.where(lambda key: key not in own) if own else left
