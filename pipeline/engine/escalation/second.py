"""The second model in a run: asked about the rows of which the first one is unsure, as soon as that is known.

Its answers are answers like any others: each has its key in the ledger, which holds the model's name, and is looked up
before it is asked for. So reuse, resuming, duplicates and retries are those of every answer.
"""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from typing import Any

from pipeline.engine.asking import Asked
from pipeline.engine.brake import Brake
from pipeline.engine.escalation.rule import Pair, asks, decided, second_job, second_retried, spared, split
from pipeline.engine.escalation.spending import Fates, Spending
from pipeline.engine.escalation.waiting import Waiting
from pipeline.engine.resolver import Resolver
from pipeline.errors import BudgetSpentError, InterruptedRunError, PipelineError
from pipeline.figures import count
from pipeline.job.job import Job
from pipeline.llm.request import Asker, Figures
from pipeline.outputs.columns import Answered
from pipeline.outputs.parts import Parts
from pipeline.records import LABELLED, Answer, Outcome, Prompts, Span
from pipeline.tasks.parse import Parser
from pipeline.telemetry.logs import about, with_keys_of
from pipeline.telemetry.summary import Side

log = logging.getLogger(__name__)

SECTION = "escalate.model"
"""Where the config has the second model."""

ENOUGH_ANSWERS = 20
"""After so many labels without a confidence it is said that none of them will have one."""


class Escalation:
    """The second model of one execution; stands where the first one's resolver would.

    Attributes:
        spending: What it may cost, and has.
        waiting: Which rows wait for it.
        is_left: Whether others ask it, and rows that are put to it stay without an answer here.
    """

    def __init__(self, job: Job, asked: Asked, *, continued: bool) -> None:
        """Prepare to ask the second model of *job*, which opens nothing; *continued* as for the first one's resolver."""
        settings = job.config.escalate
        assert settings is not None, "the job has a second model"  # noqa: S101
        self._whom, self._first, self._settings = asked, asked.resolver, settings
        self._job, self._asks = second_job(job), asks(settings)
        asked.resolver.reuse.spares = spared(job)
        asked.resolver.meets = self._on_met
        self._names = job.config.model.name, self._job.config.model.name
        self._parser = Parser(job.config.task, job.calibration)
        self._seconds_parser = Parser(job.config.task, self._job.calibration)
        self._second = Resolver(
            self._seconds_parser,
            asked.run,
            retry=second_retried(job.options.retry),
            open_asker=self._asker,
            brake=Brake(job.config.limits, job.source.rows, self._stop, warns=False),
            continued=continued,
            leaves_open=job.options.is_partial,
        )
        self._second.meets = lambda answered: self.waiting.end(answered.statuses())
        self._asked = asked.on_demand(self._open)
        self.waiting, self.is_left = Waiting(), False
        self._ahead: set[asyncio.Task[Answered]] = set()
        self.spending = Spending(asked, settings.limits.max_cost_usd)
        self._labels = self._sure = 0  # labels that were looked at, and those of them with a confidence

    @property
    def answered(self) -> int:
        """How many prompts have the answers that they need while their chunk is not written."""
        return self._first.answered - self.waiting.rows

    async def resolve(self, prompts: Prompts) -> Answered:
        """Return the answer to each key of *prompts*: the second model's where the first one is unsure."""
        with self.waiting.chunk(prompts):
            found, unsure = split(await self._first.resolve(prompts), self._asks)
            self._look(
                meaning for _, meanings in found.batches for meaning in zip(*meanings.values(), strict=True)
            )
            if unsure:
                await self._decide(found, unsure, prompts)
            return found

    async def _decide(self, found: Answered, unsure: Sequence[Pair], prompts: Prompts) -> None:
        """Add to *found* what becomes of the rows that the first model is *unsure* of."""
        wanted = len(found) + len(unsure)
        firsts = {pair[0].key: pair for pair in unsure}
        mine = prompts.where(firsts.__contains__)
        answered = await self._second_answers(asked := self._put(mine))
        own = dict(zip(asked.keys, mine.keys, strict=True))
        for answers, outcomes in answered.batches:
            meanings = map(Outcome._make, zip(*(outcomes[name] for name in Outcome._fields), strict=True))
            for second in zip(answers.values(), meanings, strict=True):
                key = own[second[0].key]
                assert key is not None, "it was asked about"  # noqa: S101
                found.add(*decided(firsts[key], second))
        self._first.answered -= wanted - len(found)  # what is left open is no answer

    async def _second_answers(self, asked: Prompts) -> Answered:
        if self.is_left:
            return Answered()
        self._second.ledger = self._first.ledger
        answered = await self._second.resolve(asked)
        self._second.answered -= len(answered)
        self.waiting.end(answered.statuses())
        return answered

    def _put(self, prompts: Prompts) -> Prompts:
        """Return *prompts* as the second model is asked them; their rows wait for it."""
        asked = Prompts(self._job.task.keys(prompts.texts), prompts.texts, prompts.truncated)
        self.waiting.put(prompts, asked.keys)
        return asked

    def on_durable(self, answers: Sequence[Answer]) -> None:
        """Deliver answers that have become durable, and ask the second model where the first one's are unsure.

        Nobody waits for these: whoever labels the row asks once more, and finds the answer, or that it is being asked for.
        """
        self._first.on_durable(answers)
        self._second.on_durable(answers)
        self.waiting.end([answer.key for answer in answers if self._is_final(self._seconds_parser, answer)])
        mine = [answer for answer in answers if self.waiting.prompt(answer.key)]
        outcomes = list(map(self._parser.outcome, mine))
        self._look(outcomes)
        self._ask_ahead(
            answer.key
            for answer, outcome in zip(mine, outcomes, strict=True)
            if self._parser.is_final(outcome.status, answer.asks)
            and self._asks(outcome.status, outcome.confidence)
        )

    def _on_met(self, answered: Answered) -> None:
        """Ask ahead about rows that had a first answer before, while their chunk waits for those of others."""
        self._ask_ahead(answer.key for answer, _ in split(answered, self._asks)[1])

    def _ask_ahead(self, keys: Iterable[bytes]) -> None:
        if self._whom.closing or self._job.options.offline:
            return
        if unsure := [prompt for prompt in map(self.waiting.prompt, keys) if prompt is not None]:
            asked = self._put(Prompts(*zip(*unsure, strict=True)))
            task = asyncio.create_task(self._second_answers(asked))
            self._ahead.add(task)
            task.add_done_callback(self._on_asked)

    @staticmethod
    def _is_final(parser: Parser, answer: Answer) -> bool:
        return parser.is_final(parser.outcome(answer).status, answer.asks)

    def _on_asked(self, task: "asyncio.Task[Answered]") -> None:
        self._ahead.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None and not self._whom.closing:
            self._whom.stop(error)

    async def cancel(self) -> None:
        """Ask nothing more ahead: the run ends."""
        for task in self._ahead:
            task.cancel()
        await asyncio.gather(*self._ahead, return_exceptions=True)

    def _look(self, outcomes: Iterable[Sequence[object]]) -> None:
        """Say it once if the first model's labels have no confidence, so that none of them is below anything."""
        if self._sure or self._labels >= ENOUGH_ANSWERS or not self._settings.below:
            return
        for status, labels, confidence, _ in outcomes:
            if status in LABELLED and labels:
                self._labels += 1
                self._sure += confidence is not None
        if not self._sure and self._labels >= ENOUGH_ANSWERS:
            log.warning(
                "escalate.below: the endpoint of %s tells no probabilities (see `probe`), so that no label is put to %s; "
                "only rows without a label are",
                *self._names,
            )  # fmt: skip

    async def _asker(self, keys: Sequence[bytes]) -> Asker:
        if self._job.options.offline:
            raise InterruptedRunError(
                f"{count(len(keys), 'prompt')} and perhaps more wait for {self._names[1]}, and `publish` sends nothing; use `run` "
                "first, or --partial"
            )
        return await self._asked.asker()

    async def _open(self) -> Asker:
        """Open the second model's endpoint, with its own limits, and its own share of the budget."""
        budget = await self.spending.budget()
        with about(f"second model {self._names[1]}", SECTION):
            try:
                return await self._whom.opened(
                    self._job, budget=budget, deliver=self.spending.deliver, stop=self._stop
                )
            except PipelineError as error:
                raise self._named(error) from error

    def _stop(self, error: BaseException) -> None:
        self._whom.stop(self._named(error))

    def _named(self, error: BaseException) -> BaseException:
        """Return *error* as one that says that it is about the second model."""
        if not isinstance(error, PipelineError) or isinstance(error, BudgetSpentError):
            return error
        problems = (with_keys_of(SECTION, problem) for problem in error.problems)
        named = type(error)(*(f"second model {self._names[1]}: {problem}" for problem in problems))
        named.__cause__ = error
        return named

    def facts(self, parts: Parts, spans: Iterable[Span]) -> tuple[dict[str, Any], Side | None]:
        """Return what became of the rows that were put to the second model, and what it has cost the run. Runs in a thread.

        And what the run has paid for rows that are on the bill of another one, which had the other answer.
        """
        figures = self._asked.figures
        is_known = figures.price_source is not None or not figures.counters.requests
        fates = Fates(parts, spans, self._whom.run)
        facts = {
            "model": self._names[1],
            "below": self._settings.below,
            **fates.facts(),
            "cost_usd": self.spending.spent_usd if is_known else None,
            "cost_source": figures.price_source,
        }
        return facts, fates.side

    def added_to(self, first: Figures) -> Figures:
        """Return the figures of both models together; *first* are those of the first one."""
        second, whole = self._asked.figures, self._whom.budget
        if not second.counters.requests:
            return first
        own = first.shares or {self._names[0]: first.counters.requests}
        return Figures(
            first.counters + second.counters,
            first.sending + second.sending,
            whole.spent_usd if whole else 0.0,
            first.price_source or second.price_source,
            first.away or second.away,
            {**own, f"{self._names[1]} (second model)": second.counters.requests},
        )
