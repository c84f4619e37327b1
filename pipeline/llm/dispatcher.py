"""The dispatcher: its workers send requests and deliver the answers, or retry."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import cast

from pipeline.config import Config
from pipeline.llm.backlog.delivery import Deliver
from pipeline.llm.backlog.queue import RequestQueue
from pipeline.llm.billing import Billing
from pipeline.llm.failure_policy import Action, FailurePolicy
from pipeline.llm.form_memory import FormMemory
from pipeline.llm.health.breaker import CircuitBreaker
from pipeline.llm.held_rows import HeldRows
from pipeline.llm.pacing.budget import Budget
from pipeline.llm.pacing.concurrency import Concurrency
from pipeline.llm.pacing.pacer import Pacer
from pipeline.llm.pacing.tokens import TokenEstimate
from pipeline.llm.protocol.form import RequestForm
from pipeline.llm.protocol.negotiation import FormatNegotiator
from pipeline.llm.replies import NO_USAGE, RUN_WIDE, Failure, Reply, Usage, Window
from pipeline.llm.request import Counters, Figures, Request, request_for
from pipeline.llm.retry import RetryPolicy
from pipeline.llm.timeouts import AdaptiveTimeout
from pipeline.llm.transport.client import Client
from pipeline.llm.transport.network import OWN_SERVERS
from pipeline.llm.workers import WorkerPool
from pipeline.records import Answer, Prompt
from pipeline.system.clock import Clock
from pipeline.system.open_files import affordable
from pipeline.tasks.prompt import Task
from pipeline.telemetry.latency import bucket_of


class Dispatcher:
    """Sends prompts as fast as the endpoint and the limits allow, and delivers an answer to each."""

    def __init__(  # noqa: PLR0913 - whom it works with
        self,
        client: Client,
        task: Task,
        config: Config,
        run: str,
        *,
        deliver: Deliver,
        stop: Callable[[BaseException], None],
        before_send: Callable[[Request], Awaitable[bool | None]],
        clock: Clock,
        budget: Budget,
        queue: RequestQueue | None = None,
    ) -> None:
        """Make a dispatcher for *task*; no prompt is sent before `start`.

        Args:
            client: The open client.
            task: What is asked about each text.
            config: The run's config: model and limits.
            run: The run's id, for the answers.
            deliver: Takes each paid answer, and each bill without one.
            stop: Called with the error that must end the run.
            before_send: Awaited with each request before it is sent; it is not sent if this raises, or returns True.
            clock: Time and chance.
            budget: What the run may spend.
            queue: Where requests wait; None makes one.
        """
        limits = config.limits
        own_server = config.model.provider in OWN_SERVERS and config.model.base_url is None
        self._worker_count = affordable(limits.max_concurrency, files_each=2 if own_server else 1)
        self.counters, self.budget = Counters(), budget
        self.concurrency = Concurrency(self._worker_count, clock)
        self.billing = Billing(config.model, capped=limits.max_cost_usd is not None)
        self.breaker = CircuitBreaker(clock, limits.max_outage)
        self._queue, self._pool = queue or RequestQueue(), WorkerPool(stop)
        self._delivery, self._model = self._queue.delivery(deliver, run, clock), config.model
        self.client, self._before_send, self._clock = client, before_send, clock
        self._retries, self.pacer = RetryPolicy(), Pacer(limits, self.concurrency, clock)
        self.negotiator = FormatNegotiator(task, config.model, FormMemory(config, task, clock))
        self._policy = FailurePolicy(self.breaker, self.negotiator, self._retries, clock)
        self.estimate = TokenEstimate(task.system, config.model.max_tokens)
        self._timeout = AdaptiveTimeout(None if limits.request_timeout == "auto" else limits.request_timeout)
        self.held = HeldRows(self._queue, self._pool, self.breaker, clock, self._give_up, self._retry)

    async def start(self) -> None:
        """Read from the endpoint what the model costs and takes, and start the workers."""
        self.negotiator.begin(await self.billing.ask(self.client))
        self._set_ceiling(self.negotiator.form.ceiling)
        self._pool.spawn(self.concurrency.keep_time())
        for _ in range(self._worker_count):
            self._pool.spawn(self._work())

    def _set_ceiling(self, ceiling: int) -> None:
        self.estimate.set_ceiling(ceiling)
        if ceiling > self._model.max_tokens:
            self.budget.expect_all()

    def ask(self, prompt: Prompt, previous: Answer | None = None, owed: Answer | None = None) -> None:
        """Queue *prompt*; *previous* is its invalid answer, if this is the second ask, and *owed* its bill so far."""
        self._queue.rows.unanswered += 1
        self._queue.push(request_for(prompt, previous, owed), first=previous is not None)

    @property
    def figures(self) -> Figures:
        """What was done, and where it stands."""
        away = self.breaker.open or self.concurrency.level.storm.raging
        sending, spent, source = self.concurrency.sending, self.budget.spent_usd, self.billing.source
        return Figures(self.counters, sending, spent, source, away)

    def affords(self, prompts: Iterable[Prompt]) -> int:
        """Return how many of *prompts*, the first ones, there is money for while nothing else is asked."""
        bound, ceiling = self.billing.bound_usd, self.negotiator.form.ceiling
        return self.budget.affords(bound(self.estimate, Request(each), ceiling) for each in prompts)

    async def drain(self, seconds: float) -> None:
        """Send nothing more; wait up to *seconds* for what is in flight, and give up the rest."""
        await self._pool.shutdown(seconds)
        await self.pacer.close()

    async def _work(self) -> None:
        task = cast("asyncio.Task[None]", asyncio.current_task())
        while not self._pool.closing:
            if not self.concurrency.try_acquire():
                await self.concurrency.acquire()
            try:
                await self._serve(self._queue.pop() or await self._queue.next(), task)
            except BaseException:
                self._pool.closing = True  # at once: no other worker may send before `stop` is called
                raise
            finally:
                self.concurrency.release()

    async def _serve(self, request: Request, task: asyncio.Task[None]) -> None:
        probing = self.breaker.open and await self.breaker.gate.admit(control=request.control)
        try:
            if self.breaker.gate.turns_back(control=request.control):
                self._queue.push(request, first=True)
                return
            tokens = self.estimate.quota(request.prompt.text, request.rows) if self.pacer.counts_tokens else 0
            if not self.pacer.try_admit(tokens):
                await self.pacer.admit(tokens)
            if await self._before_send(request):
                return
            form, bound_usd = await self._reserve(request)
            if self._pool.closing:  # it may have begun during any of these waits
                return
            self._pool.sending.add(task)  # from here on the call may be billed, so a drain waits for it
            sent_at = self._clock.now()
            outcome = await self._send(request, form, bound_usd)
            if isinstance(outcome, Reply):
                wider = None if outcome.finish == "stop" else self.negotiator.more_room(outcome, form)
                if wider is None:
                    await self._on_reply(request, outcome, sent_at)
                else:
                    await self._keep_bill(request, outcome.usage)
                    self._set_ceiling(wider.ceiling)
                    self._retry(request.again_in(wider, outcome.usage), 0.0)
                if self.billing.ask_again:  # only now: the answer is paid and must be kept
                    await self.billing.ask_once_more(self.client)
            else:
                await self._keep_bill(request, outcome.usage)
                await self._handle_failure(request, outcome, form)
            self._pool.sending.discard(task)
        finally:
            if probing:
                self.breaker.gate.release_probe()

    async def _reserve(self, request: Request) -> tuple[RequestForm, float]:
        """Set money aside for *request*; return the form to send it in, and how much."""
        while True:
            form = request.form or self.negotiator.form
            bound_usd = self.billing.bound_usd(self.estimate, request, form.ceiling)
            if self.budget.try_reserve(bound_usd):
                return form, bound_usd
            await self.budget.reserve(bound_usd)
            if form is (request.form or self.negotiator.form):
                return form, bound_usd
            self.budget.settle(bound_usd, None)  # the ceiling was raised meanwhile

    async def _on_reply(self, request: Request, reply: Reply, sent_at: float) -> None:
        """Deliver the answer, and those of rows that were given up before the request was sent."""
        if request.control:
            await self._keep_bill(request, reply.usage)
        else:
            await self._delivery.reply(request, reply)
            self._queue.done(request)
        await self.held.on_reply(request, sent_at)

    async def _keep_bill(self, request: Request, usage: Usage) -> None:
        """Keep what a reply without an answer was billed for: the run may stop before there is one."""
        if usage is not NO_USAGE:
            await self._delivery.bill(*(self.held.bill(usage) if request.control else (request, usage)))

    async def _send(self, request: Request, form: RequestForm, bound_usd: float) -> Reply | Failure:
        """Send *request* once in *form*, and pass the outcome to everything that adapts to it."""
        body = self.negotiator.body(request.prompt.text, form, request.ids, again=bool(request.previous))
        seconds = self._timeout.probe_seconds if self.breaker.open else self._timeout.seconds
        self.counters.requests += 1
        departure = self.concurrency.on_sent()
        outcome: Reply | Failure | None = None
        window: Window | None = None
        try:
            outcome, window = await self.client.ask(body, seconds)
            if isinstance(outcome, Failure):
                outcome = self._policy.judged(request, outcome)
        finally:
            self.pacer.record(departure, outcome, window, available=not self.breaker.open)
            outcome = outcome and self.billing.priced(outcome, self.counters)
            self.budget.settle(bound_usd, self.billing.charge(outcome, request, self.estimate))
        if isinstance(outcome, Reply):
            self.breaker.on_reply(suspect=request.attempts.suspect, control=request.control)
            self._policy.on_reply(request)
            self.negotiator.on_reply(form)
            took = self._clock.now() - departure.at
            self._timeout.learn(took)
            self.counters.latencies[bucket_of(took)] += 1
            self.estimate.learn(request.prompt.text, outcome.usage, request.rows)
            self.billing.warn_if_unreported(outcome.usage)
        return outcome

    async def _handle_failure(self, request: Request, failure: Failure, form: RequestForm) -> None:
        decision = self._policy.decide(request, failure, form)
        again = decision.request
        if failure.kind in RUN_WIDE:
            self.client.refresh()
        match decision.action:
            case Action.END_RUN if decision.error is not None:
                self._queue.push(again, first=True)  # for others, if there are any
                raise decision.error
            case Action.GIVE_UP:
                await self.held.give_up(request, failure)
            case Action.HOLD:
                self.held.hold(request, failure)
            case Action.TAKE_FOR_REPLY:
                await self.held.on_reply(request, self._clock.now())
            case Action.THROTTLE:  # its own wait; whether the others wait, too, is the pacer's business
                self.counters.throttled += 1
                self._retry(again, self._retries.delay(failure, again.attempts.calls, self._clock))
            case Action.CONFIRM:
                # The worker sleeps and keeps its slot, where another request would probably be refused too.
                await self._clock.sleep(decision.after)
                self._retry(again, 0.0)
            case _:
                self._retry(again, decision.after)

    async def _give_up(self, request: Request, failure: Failure) -> None:
        await self._delivery.failure(request, failure)
        self._queue.done(request)

    def _retry(self, again: Request, seconds: float) -> None:
        self.counters.retries += 1
        self._queue.push_again(again, seconds, self._pool.spawn, self._clock)
