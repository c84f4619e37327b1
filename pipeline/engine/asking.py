"""Who answers what has no stored answer: the endpoint that the config names, or all of several."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from pipeline.config import Config
from pipeline.config.providers import endpoint_names
from pipeline.engine.resolver import Resolver
from pipeline.errors import InterruptedRunError
from pipeline.job.job import Job
from pipeline.job.readiness import ensure_ready
from pipeline.llm.backlog.delivery import Deliver
from pipeline.llm.dispatcher import Dispatcher
from pipeline.llm.pacing.budget import Budget
from pipeline.llm.packs.delivery import Packing
from pipeline.llm.request import Asker, Counters, Figures
from pipeline.llm.transport.client import Client
from pipeline.llm.transport.credentials import request_headers
from pipeline.llm.transport.network import network
from pipeline.servers.endpoint import endpoint_url
from pipeline.system.clock import Clock
from pipeline.telemetry.pace import Progress


class OnDemand:
    """Who asks a model, opened when the first prompt has no stored answer."""

    def __init__(self, opened: Callable[[], Awaitable[Asker]]) -> None:
        """Prepare to ask; *opened* opens the endpoint."""
        self._opened, self._opening = opened, asyncio.Lock()
        self._asker: Asker | None = None

    async def asker(self) -> Asker:
        """Return who asks."""
        async with self._opening:  # several chunks may need it at once
            if self._asker is None:
                self._asker = await self._opened()
        return self._asker

    @property
    def is_open(self) -> bool:
        """Whether anything may have been asked."""
        return self._asker is not None

    @property
    def figures(self) -> Figures:
        """What was asked for, and where that stands."""
        return self._asker.figures if self._asker else Figures(Counters())

    async def drain(self, seconds: float) -> None:
        """Send nothing more; wait up to *seconds* for what is in flight, and give up the rest."""
        if self._asker is not None:
            await self._asker.drain(seconds)


class Asked:
    """Whom a run asks, one model or two, and what all of it may cost.

    Attributes:
        resolver: The first model's.
        run: The run's id.
        stop: Called with the error that must end the run.
        clock: The time.
        closing: Whether nothing more is sent.
        budget: What the run may spend; None until something is to be asked.
        spent_before: What it had spent by then, in its earlier executions.
    """

    def __init__(
        self,
        resources: AsyncExitStack,
        resolver: Resolver,
        run: str,
        max_cost_usd: float | None,
        *,
        stop: Callable[[BaseException], None],
        before_send: Callable[[], Awaitable[None]],
        clock: Clock,
    ) -> None:
        """Open nothing yet; see `llm.dispatcher.Dispatcher` for what is not said here.

        Args:
            resources: Where endpoints are kept open.
            resolver: Knows the ledger, once that is open.
            run: The run's id.
            max_cost_usd: What the run may spend.
            stop: Called with the error that must end the run.
            before_send: Awaited before each request.
            clock: Time and chance.
        """
        self._resources, self.resolver, self.run = resources, resolver, run
        self._max_cost_usd = max_cost_usd
        self.stop, self._before_send, self.clock = stop, before_send, clock
        self._askers: list[OnDemand] = []
        self.budget: Budget | None = None
        self.spent_before = 0.0
        self.closing = False

    def on_demand(self, opened: Callable[[], Awaitable[Asker]]) -> OnDemand:
        """Return one that is asked, whose endpoint is *opened* when it is needed."""
        self._askers.append(OnDemand(opened))
        return self._askers[-1]

    @property
    def is_open(self) -> bool:
        """Whether anything may have been asked."""
        return any(each.is_open for each in self._askers)

    async def drain(self, seconds: float) -> None:
        """Send nothing more; wait up to *seconds* for what is in flight, and give up the rest."""
        self.closing = True
        await asyncio.gather(*(each.drain(seconds) for each in self._askers))

    async def whole_budget(self) -> Budget:
        """Return what the run may spend, whomever it asks."""
        spent = await self.resolver.ledger.spent(self.run)  # by earlier executions, or by workers
        if self.budget is None:
            self.budget, self.spent_before = Budget(self._max_cost_usd, spent), spent
        return self.budget

    async def opened(
        self,
        job: Job,
        *,
        budget: Budget | None = None,
        deliver: Deliver | None = None,
        stop: Callable[[BaseException], None] | None = None,
        packing: Packing | None = None,
    ) -> Asker:
        """Open what *job* asks, for as long as the ledger is open; what is not said is that of the run.

        Raises:
            ConfigError: If a request could not be sent.
            InterruptedRunError: If nothing more is to be sent.
        """
        if self.closing:
            raise InterruptedRunError("the run stops; run again to continue")
        budget, deliver = budget or await self.whole_budget(), deliver or self.resolver.ledger.append
        opened = self._asking(job, budget, deliver, stop or self.stop, packing)
        return await self._resources.enter_async_context(opened)

    @asynccontextmanager
    async def _asking(
        self,
        job: Job,
        budget: Budget,
        deliver: Deliver,
        stop: Callable[[BaseException], None],
        packing: Packing | None,
    ) -> AsyncIterator[Asker]:
        ensure_ready(job.config)  # before any server is started
        run, clock, before_send = self.run, self.clock, self._before_send
        async with AsyncExitStack() as opened:
            if job.config.model.endpoints:
                from pipeline.llm.backlog.fleet import Fleet  # noqa: PLC0415 - few jobs have several

                fleet = Fleet(
                    job.task, run, budget=budget, deliver=deliver, stop=stop, before_send=before_send, clock=clock,
                    max_outage=job.config.limits.max_outage, packing=packing,
                )  # fmt: skip
                configs = job.config.each_endpoint()
                for name, one, config in zip(
                    endpoint_names(configs), job.config.model.endpoints, configs, strict=True
                ):
                    client = await opened.enter_async_context(opened_client(config))
                    fleet.add(name, config, client, weight=one.weight, priority=one.priority)
                asker: Asker = fleet
            else:
                client = await opened.enter_async_context(opened_client(job.config))
                asker = Dispatcher(
                    client, job.task, job.config, run, deliver=deliver, stop=stop, before_send=lambda _: before_send(),
                    clock=clock, budget=budget, queue=packing.queue() if packing else None,
                )  # fmt: skip
            await asker.start()
            yield asker


@asynccontextmanager
async def opened_client(config: Config) -> AsyncIterator[Client]:
    """Open a client of the endpoint that *config* names, which is started if it is one of our own."""
    async with (
        endpoint_url(config) as url,
        Client.open(url, partial(request_headers, config.model), network(config.model, url)) as client,
    ):
        yield client


def sent(figures: Figures, spent_before: float) -> Progress:
    """Return how far who asks has come; earlier executions of the run have spent *spent_before* US dollars."""
    counters = figures.counters
    return Progress(
        in_flight=figures.sending,
        waiting=figures.away,
        requests=counters.requests,
        retries=counters.retries,
        throttled=counters.throttled,
        tokens=counters.prompt_tokens + counters.completion_tokens,
        cost_usd=figures.spent_usd - spent_before if figures.price_source else None,
        shares=figures.shares,
    )
