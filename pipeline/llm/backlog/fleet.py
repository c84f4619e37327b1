"""Several endpoints of one model: a dispatcher each, which pull from one backlog and spend one budget."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from math import inf

from pipeline.config import Config
from pipeline.errors import BudgetSpentError, ConfigError, KeyRefusedError, ProviderUnavailableError
from pipeline.figures import percent
from pipeline.llm.backlog.delivery import Deliver
from pipeline.llm.backlog.shared import Backlog, Tap
from pipeline.llm.backlog.usefulness import SHARE
from pipeline.llm.dispatcher import Dispatcher
from pipeline.llm.pacing.budget import Budget
from pipeline.llm.packs.delivery import Packing
from pipeline.llm.request import Counters, Figures, Request, request_for
from pipeline.llm.transport.client import Client
from pipeline.llm.workers import WorkerPool
from pipeline.records import Answer, Prompt
from pipeline.system.clock import Clock
from pipeline.tasks.prompt import Task
from pipeline.telemetry.logs import about

log = logging.getLogger(__name__)

TICK_SECONDS = 0.1
"""How often it is looked whose wait is over."""

LEAVE_SECONDS = 600.0
"""How long the last requests of an endpoint that is closed may take; each has a shorter timeout of its own."""

OF_ONE_ENDPOINT = (BudgetSpentError, ConfigError, KeyRefusedError, ProviderUnavailableError)
"""Errors that end what is asked of one endpoint, and of no other."""


@dataclass(eq=False, slots=True)
class Member:
    """One of the endpoints.

    Attributes:
        name: What it is called in messages.
        tap: Its way to the backlog.
        dispatcher: Asks it.
        clock: The time.
        begun: Whether it is known what it takes, so that it may be asked.
    """

    name: str
    tap: Tap
    dispatcher: Dispatcher
    clock: Clock
    begun: bool = field(default=False)

    @property
    def is_away(self) -> bool:
        """Whether nobody is there to answer, as it seems."""
        return self.dispatcher.figures.away

    @property
    def told_seconds(self) -> float:
        """How long it has asked to be left alone from now on."""
        storm = self.dispatcher.concurrency.level.storm.until - self.clock.now()
        return max(self.dispatcher.pacer.pause_left, storm)

    @property
    def rest_seconds(self) -> float:
        """For how long it takes nothing, as far as that is known."""
        return max(self.dispatcher.breaker.gate.due_in, self.told_seconds) if self.begun else inf


class Fleet:
    """Asks several endpoints; stands where one dispatcher would."""

    def __init__(  # noqa: PLR0913 - whom it works with
        self,
        task: Task,
        run: str,
        *,
        budget: Budget,
        deliver: Deliver,
        stop: Callable[[BaseException], None],
        before_send: Callable[[], Awaitable[None]],
        clock: Clock,
        max_outage: float,
        packing: Packing | None = None,
    ) -> None:
        """Make a fleet without an endpoint; see `llm.dispatcher.Dispatcher` for what is not said here.

        Args:
            task: What is asked about each text.
            run: The run's id.
            budget: What all of them together may spend.
            deliver: Takes the answers.
            stop: Called with the error that must end the run.
            before_send: Awaited before each request.
            clock: Time and chance.
            max_outage: The run ends if no endpoint was there for so many seconds.
            packing: Makes one request of several rows.
        """
        self._task, self._run, self._budget, self._clock = task, run, budget, clock
        self._deliver, self._stop, self._before_send = deliver, stop, before_send
        self._max_outage = max_outage
        self._backlog = Backlog(clock, packing)
        self._members: list[Member] = []
        self._pool = WorkerPool(stop)

    def add(self, name: str, config: Config, client: Client, *, weight: float, priority: int) -> None:
        """Add the endpoint of *config*, which is asked as if it were the only one."""
        tap = Tap(self._backlog, weight, priority)
        # One that is away does not end the run while others are there, however long it is.
        config = config.model_copy(update={"limits": config.limits.model_copy(update={"max_outage": inf})})

        async def deliver(*answers: Answer) -> None:
            await self._deliver(*answers)
            for answer in answers:
                if answer.asks:
                    tap.answered(answer.key)

        async def before_send(request: Request) -> bool:
            recalled = tap.sent(request)
            await self._before_send()
            return recalled

        dispatcher = Dispatcher(
            client, self._task, config, self._run, deliver=deliver, stop=lambda error: self._on_error(member, error),
            before_send=before_send, clock=self._clock, budget=self._budget, queue=tap,
        )  # fmt: skip
        member = Member(name, tap, dispatcher, self._clock)
        tap.wait_seconds, tap.is_away = (lambda: member.rest_seconds), (lambda: member.is_away)
        self._members.append(member)

    @property
    def figures(self) -> Figures:
        """What all endpoints have done, and where they stand."""
        found = [member.dispatcher.figures for member in self._members]
        sources = [each.price_source for each in found if each.price_source]
        return Figures(
            sum((each.counters for each in found), Counters()),
            sum(each.sending for each in found),
            self._budget.spent_usd,
            sources[0] if sources else None,
            all(member.tap.away for member in self._members),
            {member.name: member.dispatcher.counters.requests for member in self._members},
        )

    def ask(self, prompt: Prompt, previous: Answer | None = None, owed: Answer | None = None) -> None:
        """Queue *prompt* for whoever is free; see `Dispatcher.ask`."""
        if previous is not None:
            self._judge(self._backlog.answered_by(prompt.key))
        self._backlog.push(request_for(prompt, previous, owed))

    def affords(self, prompts: Iterable[Prompt]) -> int:
        """Return how many of *prompts*, the first ones, there is money for at the dearest endpoint; see `Dispatcher.affords`."""
        some = list(prompts)
        return min(member.dispatcher.affords(some) for member in self._members if not member.tap.closed)

    async def start(self) -> None:
        """Find out in the background what each endpoint takes, and ask each as soon as that is known."""
        for member in self._members:
            self._pool.spawn(self._begin(member))
        self._pool.spawn(self._keep_time())

    async def drain(self, seconds: float) -> None:
        """Send nothing more; wait up to *seconds* for what is in flight, and give up the rest."""
        await asyncio.gather(
            self._pool.shutdown(0), *(member.dispatcher.drain(seconds) for member in self._members)
        )

    async def _begin(self, member: Member) -> None:
        with about(member.name):
            try:
                await member.dispatcher.start()
            except OF_ONE_ENDPOINT as error:
                self._on_error(member, error)
            else:
                member.begun = True

    def _on_error(self, member: Member, error: BaseException) -> None:
        """Close the endpoint of *member*, or end the run if it is the last or the error is not about it."""
        if member.tap.closed:
            return
        open_ = [each for each in self._members if not each.tap.closed]
        if not isinstance(error, OF_ONE_ENDPOINT) or open_ == [member]:
            self._stop(error)
            return
        member.tap.closed = True
        with about(member.name):
            left = f"{len(open_) - 1} of {len(self._members)} endpoints are left"
            log.warning("asked no more in this run: %s; %s", error, left)
        self._pool.spawn(self._close(member))

    def _judge(self, tap: Tap | None) -> None:
        """Close the endpoint behind *tap* if nearly all of its answers have to be asked for again; the last one stays."""
        member = next((each for each in self._members if each.tap is tap and not tap.closed), None)
        if member is None or sum(not each.tap.closed for each in self._members) == 1:
            return
        if member.tap.usefulness.on_unusable():
            self._on_error(member, ConfigError(f"{percent(SHARE, 0)} of its answers are unusable"))

    async def _close(self, member: Member) -> None:
        """Let what is in flight at *member* come back, and leave the rest to the others."""
        await member.dispatcher.drain(LEAVE_SECONDS)
        self._surrender(member)
        member.tap.give_back_all()

    @staticmethod
    def _surrender(member: Member) -> None:
        for request in member.dispatcher.held.surrender():
            member.tap.push(request._replace(form=None), first=True)

    async def _keep_time(self) -> None:
        """Look now and then whose wait is over, and whether anybody is left.

        Raises:
            ProviderUnavailableError: If no endpoint was there for longer than `limits.max_outage`.
        """
        while True:
            await self._clock.sleep(TICK_SECONDS)
            self._backlog.offer_to_all()
            self._backlog.recall()
            open_ = [member for member in self._members if not member.tap.closed]
            away = [member for member in open_ if member.tap.away]
            if len(away) < len(open_):
                for member in away:
                    self._surrender(member)
                    member.tap.give_back_forms()
            elif self._backlog.rows.unanswered:
                self._ensure_somebody_will_be_there(open_)

    def _ensure_somebody_will_be_there(self, open_: list[Member]) -> None:
        limit = self._max_outage
        lacking = [max(each.dispatcher.breaker.failing_seconds, each.told_seconds) for each in open_]
        if all(seconds > limit for seconds in lacking):
            raise ProviderUnavailableError(
                f"none of {len(self._members)} endpoints was there for {limit:g} s (limits.max_outage); run again to continue"
            )
