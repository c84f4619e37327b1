"""One run's attempt to spare the model: teach, score, audit, certify; everything or nothing, before any row is published.

    answers at hand ─► student ─► scores of all other prompts ─► coins, durable ─► audit asked ─► certificate, or none

Whatever happens in between, the same command goes on where it was: what was asked is in the ledger, and what the audit
depends on is durable before its first request. After it the certified rows have the student's labels, and all others are
asked as ever.
"""

import logging
from functools import partial
from math import inf
from typing import Any

from pipeline.engine.lifecycle import Execution
from pipeline.engine.student.agreement import agreement, first_said
from pipeline.engine.student.attempt import LEAST_ROOM, MOST_ROWS, AuditedAttempt, Read, pieces
from pipeline.engine.student.elsewhere import learn_elsewhere
from pipeline.engine.student.lesson import LEAST_ANSWERS, Lesson, Taught, unanswered
from pipeline.engine.student.outcome import Audit, differs, of_verdict, refused, tiers_of
from pipeline.figures import count
from pipeline.records import Answers, Prompts
from pipeline.student.certificate import certify
from pipeline.student.coin import draw_secret
from pipeline.student.store import Night, Proposal, StudentStore

log = logging.getLogger(__name__)

LEAST_SAVING = 0.1
"""Share of the requests that has to be spared for the audit to be worth it."""


class Attempt(AuditedAttempt):
    """The attempt of one run."""

    def __init__(self, execution: Execution, store: StudentStore) -> None:
        super().__init__(execution, store)
        settings = self._job.config.student
        assert settings is not None, "the job has a student"  # noqa: S101
        self._settings, self._packs = settings, execution.packs

    async def _decided(self, night: Night, read: Read) -> Night:
        """Ask about what the coins say, and end the night."""
        audit = await self._audit(night, read)
        twice = await self._twice(audit, read)
        return await self._threads.run(self._certified, night, audit, twice)

    async def _twice(self, audit: Audit, read: Read) -> dict[str, Any] | None:
        """Ask some audited prompts once more, if told to, and return how often the model agreed with itself."""
        if self._settings.ask_twice is None:
            return None
        chosen = first_said(audit, self._settings.ask_twice, self._run)
        async for prompts, _ in self._chunks(read):
            again = prompts.where(chosen.__contains__)
            keys = [chosen[key].key for key in again.keys if key is not None]
            # Alone: what stood around a text in its request is not what the model is to agree with.
            self._packs.beside(dict.fromkeys(keys, True))
            await self._ask(Prompts(keys, again.texts, again.truncated))
        return agreement(chosen, await self._said([each.key for each in chosen.values()]))

    async def _prepared(self, read: Read) -> Night | None:
        """Teach a student, score all prompts without an answer, and make durable what the audit depends on."""
        settings = self._settings
        await self._threads.run(partial(self._store.begin, self._run, forget=settings.recertify))
        lesson = Lesson(self._job, self._store)
        async for prompts, known in self._chunks(read):
            await self._threads.run(lesson.take, prompts, known)
        if not lesson.rows:
            return None
        await learn_elsewhere(self._job, lesson, self._resolver.known, self._threads)
        lacking = max(0, settings.answers - lesson.answered)
        if lesson.rows - lacking < LEAST_ROOM * settings.audited:
            return await self._none(
                f"{count(lesson.rows, 'row')} without an answer are too few for {settings.audited:,} audits"
            )
        await self._buy(lesson, lacking)
        if lesson.answered < LEAST_ANSWERS:
            return await self._none(f"only {count(lesson.answered, 'answer')} to learn from have labels")
        taught = await self._threads.run(lesson.teach)
        if not taught.thresholds:
            return await self._none(
                f"it has learned too little from {count(lesson.answered, 'answer')} to agree often enough"
            )
        async for prompts, known in self._chunks(read):
            await self._threads.run(self._score, taught, prompts, known)
        return await self._threads.run(self._fixed, taught, lesson.answered)

    async def _buy(self, lesson: Lesson, lacking: int) -> None:
        """Ask about prompts at random until there are enough answers to learn from."""
        chosen = lesson.first(lacking)
        if len(chosen):
            log.info("student: %s at random are asked first, to learn from", count(len(chosen), "prompt"))
        for some in pieces(chosen):
            await self._ask(some)
            await self._threads.run(lesson.take, some, await self._resolver.known(some))

    def _score(self, taught: Taught, prompts: Prompts, known: Answers) -> None:
        """Store what the student would answer to those of *prompts* that nobody has answered. Runs in a thread."""
        left = unanswered(prompts, known, self._store)
        keys = [key for key in left.keys if key is not None]
        if not keys:
            return
        found = taught.student.propose([text or "" for text in left.texts])
        # What may have a label that is always asked is never sure enough.
        scores = [
            -1.0 if likely else score
            for score, likely in zip(found.scores.tolist(), found.likely.tolist(), strict=True)
        ]
        rows = zip(keys, found.labels, scores, strict=True)
        self._store.propose(self._run, (Proposal(*row, self._run) for row in rows))

    def _fixed(self, taught: Taught, answers: int) -> Night:
        """Draw the secret, and make all that the audit depends on durable. Runs in a thread."""
        store, settings, lowest = self._store, self._settings, taught.thresholds[-1]
        everything, _ = store.scored(self._run, lowest)
        store.drop(self._run, below=lowest, most_rows=max(1.0, MOST_ROWS * self._job.source.rows))
        _, sure = store.scored(self._run, lowest)
        facts: dict[str, Any] = {
            "target": settings.target,
            "delta": settings.delta,
            "taught": answers,
            "student": taught.student.fingerprint,
            "unanswered": everything,
            "thresholds": taught.thresholds,
            "share": min(1.0, settings.audited / max(1, sure)),
        }
        night = Night(self._run, draw_secret(), facts)
        spared = sure - settings.audited
        if sure < LEAST_ROOM * settings.audited or spared < LEAST_SAVING * everything:
            why = (
                f"it is sure enough of {sure:,} of {count(everything, 'prompt')} without an answer only, too few for "
                f"{settings.audited:,} audits"
            )
            return store.end(night, refused(why, facts), None)
        store.fix(night)
        log.info(
            "student: taught by %s, it is sure enough of %s of %s; about %s of them are asked to find out",
            count(answers, "answer"), f"{sure:,}", count(everything, "prompt"), f"{settings.audited:,}",
        )  # fmt: skip
        return night

    async def _none(self, why: str) -> Night:
        """End the attempt before its audit."""
        facts = {"target": self._settings.target, "delta": self._settings.delta}
        night = Night(self._run, b"", {**facts, "thresholds": [], "share": 0.0})
        return await self._threads.run(self._store.end, night, refused(why, facts), None)

    async def _audit(self, night: Night, read: Read) -> Audit:
        """Ask about the audited prompts that have no answer yet, and return what was proposed and said."""
        proposals = await self._threads.run(
            lambda: {each.key: each for each in self._store.proposals(night.run) if night.audits(each.key)}
        )
        said = await self._said(list(proposals))
        open_keys = proposals.keys() - said.keys()
        if open_keys:
            await self._ask_all(read, lambda prompts: prompts.where(open_keys.__contains__))
            said |= await self._said(list(open_keys))
        return {key: (each, said.get(key)) for key, each in proposals.items()}

    def _certified(self, night: Night, audit: Audit, twice: dict[str, Any] | None) -> Night:
        """Test the thresholds in their order, and keep what the audit has proven. Runs in a thread."""
        tiers = tiers_of(
            night, self._store.proposals(night.run), {key: differs(*pair) for key, pair in audit.items()}
        )
        verdict = certify(tiers, self._settings.target, self._settings.delta)
        outcome = {
            **of_verdict(verdict, night, audit, self._job.config.model.name),
            **({"self_agreement": twice} if twice else {}),
        }
        lowest = inf if verdict.tier is None else verdict.tier.threshold

        def keeps(each: Proposal) -> bool:
            return (each.score or 0.0) >= lowest and not night.audits(each.key)

        return self._store.end(night, outcome, keeps)
