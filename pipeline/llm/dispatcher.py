"""The workers: each takes a request, waits for its turn, sends it, and hands the answer over or tries again."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import cast

from pipeline.config import Config
from pipeline.llm.billing import Billing, booked
from pipeline.llm.health.breaker import OUTAGE_KINDS, CircuitBreaker
from pipeline.llm.pacing.budget import Budget
from pipeline.llm.pacing.concurrency import Concurrency
from pipeline.llm.pacing.pacer import Pacer
from pipeline.llm.pacing.tokens import TokenEstimate
from pipeline.llm.protocol.negotiation import FormatNegotiator
from pipeline.llm.replies import NOTHING, Failure, FailureKind, Reply
from pipeline.llm.request import Counters, Request, RequestQueue, answer_from_failure, answer_from_reply
from pipeline.llm.retry import Policy, Tries
from pipeline.llm.timeouts import AdaptiveTimeout
from pipeline.llm.transport.client import Client
from pipeline.llm.workers import WorkerPool
from pipeline.records import Answer, Prompt
from pipeline.system.clock import Clock
from pipeline.system.open_files import affordable
from pipeline.tasks.prompt import Task


class Dispatcher:
    """Asks the endpoint, as fast as it and the limits allow, until drained."""

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
        """Make one for *task*.

        Args:
            client: The open client.
            task: What is asked.
            config: The run's config: model and limits.
            run: The run's id, for the answers.
            deliver: Takes each paid answer; waits when the disk is behind.
            stop: Called with what must end the run.
            before_send: Waited for before each request about a row; nothing is sent if it raises.
            clock: Time and chance.
            spent_usd: What earlier executions of the run have spent.
        """
        limits = config.limits
        own_server = config.model.provider in {"local", "simulate"} and config.model.base_url is None
        self._workers = affordable(limits.max_concurrency, files_each=2 if own_server else 1)
        self.counters = Counters()
        self.concurrency = Concurrency(self._workers, clock)
        self.budget = Budget(limits.max_cost_usd, spent_usd)
        self.billing = Billing(config.model, capped=limits.max_cost_usd is not None)
        self.breaker = CircuitBreaker(clock, limits.max_outage)
        self._client, self._model, self._run = client, config.model, run
        self._deliver, self._before_send, self._clock, self._policy = deliver, before_send, clock, Policy()
        self._negotiator = FormatNegotiator(task, config.model)
        self._estimate = TokenEstimate(task.system, config.model.max_tokens)
        self._timeout = AdaptiveTimeout(None if limits.request_timeout == "auto" else limits.request_timeout)
        self._pacer = Pacer(limits, self.concurrency, clock)
        self._episodes = 0
        self._queue = RequestQueue()
        self._pool = WorkerPool(stop)

    async def start(self) -> None:
        """Learn what the endpoint tells about the model, and start the workers."""
        self.billing.learn(await self._client.model(self._model.name))
        for _ in range(self._workers):
            self._pool.spawn(self._work())

    def ask(self, prompt: Prompt, previous: Answer | None = None) -> None:
        """Have *prompt* asked; *previous* is its invalid answer, if this is the second ask."""
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
                self._pool.closing = True  # at once: nobody else shall send before the run has been told
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
            if self._pool.closing:
                return
            self._pool.sending.add(task)  # from here on there may be something to pay for
            outcome = await self._send(request, tokens)
            if isinstance(outcome, Reply):
                await self._deliver(self._answer(request, outcome))
                self.billing.ensure_capped()
            else:
                await self._failed(request, outcome)
            self._pool.sending.discard(task)
        finally:
            if probing:
                self.breaker.release_probe()

    async def _send(self, request: Request, tokens: int) -> Reply | Failure:
        """Send once; tell everything that learns from calls how it went."""
        estimate_usd = self.billing.estimate(tokens, self._estimate.completion)
        self.budget.reserve(estimate_usd)
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
            outcome = outcome and self._priced(outcome)
            self.budget.settle(estimate_usd, booked(outcome, estimate_usd))
        self._pacer.pause(wait, "no more requests or tokens are left in this minute")
        if isinstance(outcome, Reply):
            self.breaker.on_reply(again=request.tries.suspect)
            self._timeout.learn(self._clock.now() - departure.at)
            self._estimate.learn(request.prompt.text, outcome.usage)
            self.billing.note(outcome.usage)
        return outcome

    def _is_congestion(self, outcome: Reply | Failure | None, wait_seconds: float) -> bool:
        """Whether a call shows that there are too many at once; a rate that is used up is refused next."""
        if isinstance(outcome, Failure) and outcome.congested:
            return not self.breaker.open  # an endpoint that is away is not busy
        return wait_seconds > 0 and self.concurrency.limit > 1

    def _answer(self, request: Request, reply: Reply) -> Answer:
        self._episodes = 0
        self.counters.answers += 1
        return answer_from_reply(request, reply, self._run, self._clock.wall())

    def _priced(self, outcome: Reply | Failure) -> Reply | Failure:
        """Put the price into the usage, and count the tokens; a garbled reply may have been billed too."""
        usage = outcome.usage
        if usage is NOTHING:
            return outcome
        self.counters.bill(usage)
        usd = self.billing.cost(usage)
        if usd == usage.cost_usd:
            return outcome
        if isinstance(outcome, Reply):
            return outcome.costing(usd)
        return replace(outcome, usage=usage._replace(cost_usd=usd))

    async def _failed(self, request: Request, failure: Failure) -> None:
        first = request.tries.calls == 0
        fatal = self.breaker.on_failure(failure, again=request.tries.suspect, first=first)
        if fatal is not None:
            raise fatal
        match failure.kind:
            case FailureKind.UNSUPPORTED if not self.breaker.succeeded:
                self._negotiator.downgrade(failure.message)
                self._again(request, failure, 0.0)
            case FailureKind.REPLACED:
                self._again(request, failure, 0.0)
            case FailureKind.ROW | FailureKind.UNSUPPORTED:
                await self._give_up(request, failure)
            case FailureKind.DENIED if self._denied_too_often(request, failure):
                await self._give_up(request, failure)
            case FailureKind.THROTTLED:
                self.counters.throttled += 1
                self._pacer.pause(self._policy.pause(failure, self._episodes, self._clock), failure.message)
                self._again(request, failure, 0.0)
            case FailureKind.DENIED | FailureKind.UNTRUSTED:
                self._client.refresh()
                # In its place: there nobody else is sent who would be refused too.
                await self._clock.sleep(self._policy.confirm_seconds)
                self._again(request, failure, 0.0)
            case _:
                await self._try_again(request, failure)

    def _denied_too_often(self, request: Request, failure: Failure) -> bool:
        of_row = self.breaker.is_of_row(failure, again=request.tries.suspect)
        return of_row and request.tries.denied + 1 >= self._policy.max_denied

    async def _try_again(self, request: Request, failure: Failure) -> None:
        tries = request.tries.after(failure, others_succeed=self.breaker.others_succeed)
        seconds = self._clock.now() - self._since(request)
        shares = (self.breaker.garbled_share, self.breaker.failed_share)
        hopeless = self._policy.exhausted(failure, tries, seconds, *shares)
        if hopeless or await self._is_to_blame(failure, tries):
            await self._give_up(request, failure)
        else:
            self._again(request, failure, self._policy.delay(failure, max(1, tries.own), self._clock))

    async def _is_to_blame(self, failure: Failure, tries: Tries) -> bool:
        """Whether it is the row that fails and not the endpoint, if there are no other rows to tell by.

        Asking for the model object costs nothing; whoever answers that is there.
        """
        if failure.kind is not FailureKind.TRANSIENT or tries.calls < self._policy.max_attempts:
            return False
        if not (self.breaker.alone and self.breaker.succeeded):
            return False
        found = await self._client.model(self._model.name)
        return not (isinstance(found, Failure) and found.kind in OUTAGE_KINDS)

    def _since(self, request: Request) -> float:
        """Return since when *request* fails; an outage does not count, it begins anew after one."""
        since = request.since if self.breaker.others_succeed else None
        return self._clock.now() if since is None else since

    async def _give_up(self, request: Request, failure: Failure) -> None:
        await self._deliver(answer_from_failure(request, failure, self._run, self._clock.wall()))

    def _again(self, request: Request, failure: Failure, seconds: float) -> None:
        self.counters.retries += 1
        tries = request.tries.after(failure, others_succeed=self.breaker.others_succeed)
        retried = request._replace(tries=tries, since=self._since(request))
        if seconds > 0:
            self._pool.spawn(self._later(retried, seconds))
        else:
            self._queue.push(retried, first=True)

    async def _later(self, request: Request, seconds: float) -> None:
        await self._clock.sleep(seconds)
        self._queue.push(request, first=True)
