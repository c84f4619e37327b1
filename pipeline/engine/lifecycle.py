"""One execution of a run: what it opens when it first needs it, how it stops, and what it has done."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from pipeline.engine.resolver import Resolver
from pipeline.errors import DiskError, InterruptedRunError, LockedError
from pipeline.job.fence import Fence
from pipeline.job.job import Job
from pipeline.job.workspace import PUBLISHED, RunRecord, stamp
from pipeline.ledger import Ledger
from pipeline.llm.dispatcher import Dispatcher
from pipeline.llm.request import Counters
from pipeline.llm.transport.client import Client
from pipeline.llm.transport.credentials import request_headers
from pipeline.servers.endpoint import endpoint_url
from pipeline.summary import RunResult
from pipeline.system.clock import Clock
from pipeline.system.shutdown import Stop
from pipeline.system.threads import Threads
from pipeline.tasks.parse import Parser
from pipeline.telemetry.progress import Progress

T = TypeVar("T")


class Execution:
    """One execution of a run.

    Attributes:
        job: What is done.
        fence: Guards every write and request.
        threads: Where work on the disk is done.
        resolver: Where prompts get their answers.
        record: What the run has done before this execution; once published, its result too.
    """

    def __init__(self, job: Job, fence: Fence, stop: Stop, clock: Clock) -> None:
        self.job, self.fence = job, fence
        self._stop, self._clock = stop, clock
        self._started = clock.now()
        self.record, self._continued = job.workspace.begin_or_continue(job.identity, clock)
        self.threads = Threads()
        self.resolver = Resolver(
            Parser(job.config.task),
            self.record.run_id,
            retry=job.options.retry,
            dispatcher=self._open_dispatcher,
        )
        self._dispatcher: Dispatcher | None = None
        self._resources, self._opening = AsyncExitStack(), asyncio.Lock()
        self._ending = threading.Event()

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Keep the ledger open while the block runs, and the endpoint from when it is needed."""
        ledger = Ledger.open(
            self.job.config.state.dir, on_durable=self.resolver.durable, on_failure=self._stop.request
        )
        try:
            async with ledger as self.resolver.ledger, self._resources:
                yield
        finally:
            self._save_effort()

    async def until_stopped(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Return what *work* returns; on a reason to stop, let what is in flight arrive and raise the reason."""
        working = asyncio.create_task(work())
        stopping = asyncio.create_task(self._stop.requested.wait())
        try:
            with self._stop.after(self.job.config.limits.max_runtime):
                await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if self._stop.reason is None or working.done():
                return await working
            raise self._stop.reason
        finally:
            stopping.cancel()
            await self._wind_up(working)

    async def _wind_up(self, work: asyncio.Task[T]) -> None:
        """End *work*; nothing that was paid for is left behind, unless the stop is urgent."""
        self._ending.set()
        draining = asyncio.create_task(self._drain())  # first of all: nothing more is sent from here on
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        await self.threads.finish()
        await draining

    async def _drain(self) -> None:
        if self._dispatcher is None:
            return
        draining = asyncio.create_task(self._dispatcher.drain(self.job.config.limits.drain))
        hurried = asyncio.create_task(self._stop.hurried.wait())
        await asyncio.wait({draining, hurried}, return_when=asyncio.FIRST_COMPLETED)
        hurried.cancel()
        await asyncio.gather(draining, self._dispatcher.drain(0))  # what is left is given up
        await self.resolver.ledger.flush()

    async def _open_dispatcher(self) -> Dispatcher:
        """Open the endpoint; called when the first prompt has no answer."""
        async with self._opening:
            if self._dispatcher is None:
                self._dispatcher = await self._resources.enter_async_context(self._dispatching())
        return self._dispatcher

    @asynccontextmanager
    async def _dispatching(self) -> AsyncIterator[Dispatcher]:
        config = self.job.config
        spent = await self.resolver.ledger.spent(self.record.run_id) if self._continued else 0.0
        headers = partial(request_headers, config.model)
        headers()  # a missing key is found before anything is started
        async with endpoint_url(config) as url, Client.open(url, headers) as client:
            dispatcher = Dispatcher(
                client, self.job.task, config, self.record.run_id, deliver=self.resolver.ledger.append,
                stop=self._stop.request, before_send=self.fence.ensure_fresh, clock=self._clock, spent_usd=spent,
            )  # fmt: skip
            await dispatcher.start()
            yield dispatcher

    def go_on(self) -> None:
        """Let a thread that publishes carry on.

        Raises:
            PipelineError: If the run is ending, or its lock was lost.
        """
        if self._ending.is_set():
            raise self._stop.reason or InterruptedRunError("stopped while publishing; run again to continue")
        self.fence.ensure()

    @property
    def price_source(self) -> str | None:
        """Where the price is from; None if nothing was asked, or no price is known."""
        return self._dispatcher.billing.source if self._dispatcher else None

    def effort(self) -> RunRecord:
        """Return the record with what this execution has done added."""
        counters = self._dispatcher.counters if self._dispatcher else Counters()
        seconds = self._clock.now() - self._started
        return self.record.after(counters.requests, counters.retries, counters.throttled, seconds)

    def finish(self, effort: RunRecord, result: RunResult) -> None:
        """Save that the run is published, with its *result*."""
        self.record = replace(
            effort, status=PUBLISHED, output=stamp(self.job.output), summary=result.as_dict()
        )
        self.fence.guard(self.job.workspace.save, self.record)

    def _save_effort(self) -> None:
        if self.record.status != PUBLISHED:
            with suppress(DiskError, LockedError):  # either has been reported already
                self.fence.guard(self.job.workspace.save, self.effort())

    def progress(self, rows_done: int, rows_failed: int) -> Progress:
        """Return where the run stands: *rows_done* rows are in parts, *rows_failed* of them failed."""
        dispatcher, rows = self._dispatcher, self.job.source.rows
        counters = dispatcher.counters if dispatcher else Counters()
        return Progress(
            rows=rows,
            done=min(rows, rows_done + self.resolver.answered),
            failed=rows_failed,
            reused=self.resolver.reused,
            in_flight=dispatcher.concurrency.sending if dispatcher else 0,
            waiting=dispatcher is not None and dispatcher.breaker.open,
            requests=counters.requests,
            retries=counters.retries,
            tokens=counters.prompt_tokens + counters.completion_tokens,
            cost_usd=dispatcher.budget.spent_usd if dispatcher and dispatcher.billing.source else None,
        )
