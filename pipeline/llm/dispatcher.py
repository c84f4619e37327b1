"""The dispatcher: its workers send requests and deliver the answers, or retry."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import cast

from pipeline.config import Config
from pipeline.llm.billing import Billing
from pipeline.llm.health.breaker import OUTAGE_KINDS, CircuitBreaker
from pipeline.llm.pacing.budget import Budget
from pipeline.llm.pacing.concurrency import Concurrency
from pipeline.llm.pacing.pacer import Pacer
from pipeline.llm.pacing.tokens import TokenEstimate
from pipeline.llm.protocol.negotiation import FormatNegotiator
from pipeline.llm.replies import Failure, FailureKind, Reply
from pipeline.llm.request import Counters, Request, RequestQueue, answer_from_failure, answer_from_reply
from pipeline.llm.retry import Attempts, RetryPolicy
from pipeline.llm.timeouts import AdaptiveTimeout
from pipeline.llm.transport.client import Client
from pipeline.llm.workers import WorkerPool
from pipeline.records import Answer, Prompt
from pipeline.system.clock import Clock
from pipeline.system.open_files import affordable
from pipeline.tasks.prompt import Task


class Dispatcher:
    """Sends prompts as fast as the endpoint and the limits allow, and delivers an answer to each."""

    def __init__(  # noqa: PLR0913 - whom it works with
        self,
        client: Client,
        task: Task,
        config: Config,
        run: str,
        *,
        deliver: Callable[[Answer], Awaitable[None]],
        stop: Callable[[BaseException], None],
        before_send: Callable[[], Awaitable[None]],
        clock: Clock,
        spent_usd: float = 0.0,
    ) -> None:
        """Make a dispatcher for *task*; no prompt is sent before `start`.

        Args:
            client: The open client.
            task: What is asked about each text.
            config: The run's config: model and limits.
            run: The run's id, for the answers.
            deliver: Takes each paid answer; waits when the disk is behind.
            stop: Called with the error that must end the run.
            before_send: Awaited before each request about a row; nothing is sent if it raises.
            clock: Time and chance.
            spent_usd: What earlier executions of the run have spent.
        """
        limits = config.limits
        own_server = config.model.provider in {"local", "simulate"} and config.model.base_url is None
        self._worker_count = affordable(limits.max_concurrency, files_each=2 if own_server else 1)
        self.counters = Counters()
        self.concurrency = Concurrency(self._worker_count, clock)
        self.budget = Budget(limits.max_cost_usd, spent_usd)
        self.billing = Billing(config.model, capped=limits.max_cost_usd is not None)
        self.breaker = CircuitBreaker(clock, limits.max_outage)
        self._client = client
        self._model = config.model
        self._run = run
        self._deliver = deliver
        self._before_send = before_send
        self._clock = clock
        self._policy = RetryPolicy()
        self._negotiator = FormatNegotiator(task, config.model)
        self._estimate = TokenEstimate(task.system, config.model.max_tokens)
        self._timeout = AdaptiveTimeout(None if limits.request_timeout == "auto" else limits.request_timeout)
        self._pacer = Pacer(limits, self.concurrency, clock)
        self._episodes = 0  # of congestion since the last reply
        self._queue = RequestQueue()
        self._pool = WorkerPool(stop)

    async def start(self) -> None:
        """Read the model's price from the endpoint, and start the workers."""
        await self.billing.ask(self._client)
        for _ in range(self._worker_count):
            self._pool.spawn(self._work())

    def ask(self, prompt: Prompt, previous: Answer | None = None) -> None:
        """Queue *prompt*; *previous* is its invalid answer, if this is the second ask."""
        self._queue.push(Request(prompt, previous), first=previous is not None)

    async def drain(self, seconds: float) -> None:
        """Send nothing more; wait up to *seconds* for what is in flight, and give up the rest."""
        await self._pool.shutdown(seconds)

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
        probing = self.breaker.open and await self.breaker.admit()
        try:
            tokens = self._estimate.prompt(request.prompt.text)
            if not self._pacer.try_admit(self._estimate.quota(tokens)):
                await self._pacer.admit(self._estimate.quota(tokens))
            await self._before_send()
            bound_usd = self.billing.bound_usd(self._estimate, request.prompt.text)
            if not self.budget.try_reserve(bound_usd):
                await self.budget.reserve(bound_usd)
            if self._pool.closing:  # it may have begun during any of these waits
                return
            self._pool.sending.add(task)  # from here on the call may be billed, so a drain waits for it
            outcome = await self._send(request, tokens, bound_usd)
            if isinstance(outcome, Reply):
                await self._deliver(self._answer(request, outcome))
                if self.billing.ask_again:  # only now: the answer is paid and must be kept
                    await self.billing.ask_once_more(self._client)
            else:
                await self._handle_failure(request, outcome)
            self._pool.sending.discard(task)
        finally:
            if probing:
                self.breaker.release_probe()

    async def _send(self, request: Request, tokens: int, bound_usd: float) -> Reply | Failure:
        """Send *request* once, and pass the outcome to everything that adapts to it."""
        body = self._negotiator.body(request.prompt.text, again=request.previous is not None)
        seconds = self._timeout.probe_seconds if self.breaker.open else self._timeout.seconds
        self.counters.requests += 1
        departure = self.concurrency.on_sent()
        outcome: Reply | Failure | None = None
        wait = 0.0
        try:
            outcome, window = await self._client.ask(body, seconds)
            wait = self._pacer.wait_seconds(window) if window else 0.0
        finally:
            replied = isinstance(outcome, Reply)
            congested = self._is_congestion(outcome, wait)
            self._episodes += self.concurrency.on_done(departure, congested=congested, success=replied)
            outcome = outcome and self.billing.priced(outcome, self.counters)
            self.budget.settle(bound_usd, self.billing.charge(outcome, tokens, self._estimate.completion))
        self._pacer.pause(wait, "no more requests or tokens are left in this minute")
        if isinstance(outcome, Reply):
            self.breaker.on_reply(suspect=request.attempts.suspect)
            self._timeout.learn(self._clock.now() - departure.at)
            self._estimate.learn(request.prompt.text, outcome.usage)
            self.billing.warn_if_unreported(outcome.usage)
        return outcome

    def _is_congestion(self, outcome: Reply | Failure | None, wait_seconds: float) -> bool:
        """Return whether the outcome of a call is a sign of too many requests in flight."""
        if isinstance(outcome, Failure) and outcome.congested:
            return not self.breaker.open  # an unavailable endpoint is not congested
        return wait_seconds > 0 and self.concurrency.limit > 1  # the window is used up: more would be refused

    def _answer(self, request: Request, reply: Reply) -> Answer:
        self._episodes = 0
        return answer_from_reply(request, reply, self._run, self._clock.wall())

    async def _handle_failure(self, request: Request, failure: Failure) -> None:
        first = request.attempts.calls == 0
        fatal = self.breaker.on_failure(failure, suspect=request.attempts.suspect, first=first)
        if fatal is not None:
            raise fatal
        match failure.kind:
            case FailureKind.UNSUPPORTED if not self.breaker.succeeded:
                self._negotiator.downgrade(failure.message)
                self._retry(request, failure, 0.0)
            case FailureKind.REPLACED:
                self._retry(request, failure, 0.0)
            case FailureKind.ROW | FailureKind.UNSUPPORTED:  # a format that brought replies is not to blame
                await self._give_up(request, failure)
            case FailureKind.DENIED if self._denied_too_often(request, failure):
                await self._give_up(request, failure)
            case FailureKind.THROTTLED:
                self.counters.throttled += 1
                self._pacer.pause(self._policy.pause(failure, self._episodes, self._clock), failure.message)
                self._retry(request, failure, 0.0)
            case FailureKind.DENIED | FailureKind.UNTRUSTED:
                self._client.refresh()
                # The worker sleeps and keeps its slot, where another request would only be denied too.
                await self._clock.sleep(self._policy.confirm_seconds)
                self._retry(request, failure, 0.0)
            case _:
                await self._retry_or_give_up(request, failure)

    def _denied_too_often(self, request: Request, failure: Failure) -> bool:
        about_row = self.breaker.is_about_row(failure, suspect=request.attempts.suspect)
        return about_row and request.attempts.denied + 1 >= self._policy.max_denied

    async def _retry_or_give_up(self, request: Request, failure: Failure) -> None:
        attempts = request.attempts.after(failure, others_succeed=self.breaker.others_succeed)
        seconds = self._clock.now() - self._failing_since(request)
        shares = (self.breaker.garbled_share, self.breaker.failed_share)
        exhausted = self._policy.exhausted(failure, attempts, seconds, *shares)
        if exhausted or await self._row_is_to_blame(failure, attempts):
            await self._give_up(request, failure)
        else:
            delay = self._policy.delay(failure, max(1, attempts.own_failures), self._clock)
            self._retry(request, failure, delay)

    async def _row_is_to_blame(self, failure: Failure, attempts: Attempts) -> bool:
        """Return whether the row fails and not the endpoint, where no other rows show which of them it is."""
        if failure.kind is not FailureKind.TRANSIENT or attempts.calls < self._policy.max_attempts:
            return False
        if not (self.breaker.undecided and self.breaker.succeeded):
            return False
        # The model object costs nothing, and an endpoint that returns it is available.
        found = await self._client.model(self._model.name)
        return not (isinstance(found, Failure) and found.kind in OUTAGE_KINDS)

    def _failing_since(self, request: Request) -> float:
        # Time in which the endpoint was unavailable does not count against the row: it begins anew after an outage.
        since = request.failing_since if self.breaker.others_succeed else None
        return self._clock.now() if since is None else since

    async def _give_up(self, request: Request, failure: Failure) -> None:
        await self._deliver(answer_from_failure(request, failure, self._run, self._clock.wall()))

    def _retry(self, request: Request, failure: Failure, seconds: float) -> None:
        self.counters.retries += 1
        attempts = request.attempts.after(failure, others_succeed=self.breaker.others_succeed)
        retried = request._replace(attempts=attempts, failing_since=self._failing_since(request))
        if seconds > 0:
            self._pool.spawn(self._push_later(retried, seconds))  # so that the worker is free meanwhile
        else:
            self._queue.push(retried, first=True)

    async def _push_later(self, request: Request, seconds: float) -> None:
        await self._clock.sleep(seconds)
        self._queue.push(request, first=True)
