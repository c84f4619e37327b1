"""Who answers what has no stored answer: the endpoint that the config names, or all of several."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from pipeline.config import Config
from pipeline.config.providers import endpoint_names
from pipeline.job.job import Job
from pipeline.job.readiness import ensure_ready
from pipeline.llm.backlog.delivery import Deliver
from pipeline.llm.dispatcher import Dispatcher
from pipeline.llm.pacing.budget import Budget
from pipeline.llm.packs.delivery import Packing
from pipeline.llm.request import Asker, Figures
from pipeline.llm.transport.client import Client
from pipeline.llm.transport.credentials import request_headers
from pipeline.llm.transport.network import network
from pipeline.servers.endpoint import endpoint_url
from pipeline.system.clock import Clock
from pipeline.telemetry.pace import Progress


@asynccontextmanager
async def asking(
    job: Job,
    run: str,
    *,
    spent_usd: float,
    deliver: Deliver,
    stop: Callable[[BaseException], None],
    before_send: Callable[[], Awaitable[None]],
    clock: Clock,
    packing: Packing | None = None,
) -> AsyncIterator[Asker]:
    """Ask what *job* asks while the block runs; see `llm.dispatcher.Dispatcher` for the arguments.

    Raises:
        ConfigError: If a request could not be sent.
    """
    budget = Budget(job.config.limits.max_cost_usd, spent_usd)
    ensure_ready(job.config)  # before any server is started
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
