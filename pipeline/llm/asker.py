"""The workers: each takes a request, waits for its turn, sends it, and hands the answer over or tries again."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from typing import cast

from pipeline.clock import Clock
from pipeline.config import Config
from pipeline.errors import ConfigError
from pipeline.llm.billing import Billing, booked
from pipeline.llm.client import Client
from pipeline.llm.estimate import TokenEstimate
from pipeline.llm.health import Health, Patience
from pipeline.llm.limits import Budget, Concurrency, Pause, Quota
from pipeline.llm.providers.body import BodyTemplate, first_form, weaker
from pipeline.llm.replies import NOTHING, Failure, Kind, Reply
from pipeline.llm.request import Backlog, Counters, Request, answer_from_failure, answer_from_reply
from pipeline.llm.retry import Policy
from pipeline.records import Answer, Prompt
from pipeline.tasks.prompt import Task

log = logging.getLogger(__name__)


class Asker:
    """Asks the endpoint, as fast as it and the limits allow, until drained."""

    def __init__(
        self,
        client: Client,
        task: Task,
        config: Config,
        run: str,
        *,
        deliver: Callable[[Answer], Awaitable[None]],
        stop: Callable[[BaseException], None],
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
            clock: Time and chance.
            spent_usd: What earlier executions of the run have spent.
        """
        limits = config.limits
        self.counters = Counters()
        self.concurrency = Concurrency(limits.max_concurrency, clock)
        self.budget = Budget(limits.max_cost_usd, spent_usd)
        self.billing = Billing(config.model, capped=limits.max_cost_usd is not None)
        self.health = Health(clock, limits.max_outage)
        self._client, self._task, self._model, self._run = client, task, config.model, run
        self._deliver, self._stop, self._clock, self._policy = deliver, stop, clock, Policy()
        self._template = BodyTemplate(task, config.model, first_form(config.model))
        self._estimate = TokenEstimate(task.system, config.model.max_tokens)
        self._patience = Patience(None if limits.request_timeout == "auto" else limits.request_timeout)
        self._pause = Pause(clock)
        self._episodes = 0
        self._requests = Quota(limits.requests_per_minute) if limits.requests_per_minute else None
        self._tokens = Quota(limits.tokens_per_minute) if limits.tokens_per_minute else None
        self._backlog = Backlog()
        self._tasks: set[asyncio.Task[None]] = set()
        self._sending: set[asyncio.Task[None]] = set()
        self._workers, self._draining = limits.max_concurrency, False

    async def start(self) -> None:
        """Learn what the endpoint tells about the model, and start the workers."""
        self.billing.learn(await self._client.model(self._model.name))
        for _ in range(self._workers):
            self._spawn(self._work())

    def ask(self, prompt: Prompt, previous: Answer | None = None) -> None:
        """Have *prompt* asked; *previous* is its invalid answer, if this is the second ask."""
        self._backlog.push(Request(prompt, previous), first=previous is not None)

    async def drain(self, seconds: float) -> None:
        """Send nothing more; wait up to *seconds* for what is in flight, and give up the rest."""
        self._draining = True
        for task in self._tasks - self._sending:
            task.cancel()
        if self._sending and seconds > 0:
            await asyncio.wait(set(self._sending), timeout=seconds)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._sending.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._stop(error)

    async def _work(self) -> None:
        while not self._draining:
            await self.concurrency.enter()
            try:
                await self._serve(await self._backlog.next())
            except BaseException:
                self._draining = True  # at once: nobody else shall send before the run has been told
                raise
            finally:
                self.concurrency.leave()

    async def _serve(self, request: Request) -> None:
        task = cast("asyncio.Task[None]", asyncio.current_task())
        probing = await self.health.admit()
        try:
            tokens = await self._turn(request)
            if self._draining:
                return
            self._sending.add(task)  # from here on there may be something to pay for
            outcome = await self._send(request, tokens)
            if isinstance(outcome, Reply):
                await self._answered(request, outcome)
            else:
                await self._failed(request, outcome)
            self._sending.discard(task)
        finally:
            if probing:
                self.health.probed()

    async def _turn(self, request: Request) -> int:
        """Wait until the limits let *request* through; returns its estimated prompt tokens."""
        await self._pause.wait()
        tokens = self._estimate.prompt(request.prompt.text)
        if self._requests is not None:
            await self._requests.take(1)
        if self._tokens is not None:
            await self._tokens.take(self._estimate.quota(tokens))
        await self._pause.wait()
        return tokens

    async def _send(self, request: Request, tokens: int) -> Reply | Failure:
        """Send once; tell everything that learns from calls how it went."""
        estimate_usd = self.billing.estimate(tokens, self._estimate.completion)
        self.budget.reserve(estimate_usd)
        body = self._template.body(request.prompt.text, again=request.previous is not None)
        self.counters.requests += 1
        sent_at = self.concurrency.sent()
        outcome: Reply | Failure | None = None
        try:
            outcome, window = await self._client.ask(body, self._patience.seconds)
        finally:
            replied = isinstance(outcome, Reply)
            congested = isinstance(outcome, Failure) and outcome.congested
            self._episodes += self.concurrency.learn(sent_at, congested=congested, success=replied)
            outcome = outcome and self._priced(outcome)
            self.budget.settle(estimate_usd, booked(outcome, estimate_usd))
        if window is not None:
            self._pause.extend(window.wait_seconds)
        if isinstance(outcome, Reply):
            self.health.good(again=request.tries.suspect)
            self._patience.learn(self._clock.now() - sent_at)
            self._estimate.learn(tokens, outcome.usage)
        return outcome

    async def _answered(self, request: Request, reply: Reply) -> None:
        self._episodes = 0
        self.counters.answers += 1
        await self._deliver(answer_from_reply(request, reply, self._run, self._clock.wall()))
        self.billing.ensure_capped()

    def _priced(self, outcome: Reply | Failure) -> Reply | Failure:
        """Put the price into the usage, and count the tokens; a garbled reply may have been billed too."""
        usage = outcome.usage
        if usage == NOTHING:
            return outcome
        counters = self.counters
        counters.prompt_tokens += usage.prompt_tokens or 0
        counters.cached_tokens += usage.cached_tokens or 0
        counters.completion_tokens += usage.completion_tokens or 0
        return replace(outcome, usage=replace(usage, cost_usd=self.billing.cost(usage)))

    async def _failed(self, request: Request, failure: Failure) -> None:
        fatal = self.health.bad(failure, again=request.tries.suspect)
        if fatal is not None:
            raise fatal
        match failure.kind:
            case Kind.UNSUPPORTED if self._weaken(failure):
                self._again(request, failure, 0.0)
            case Kind.ROW | Kind.UNSUPPORTED:
                await self._give_up(request, failure)
            case Kind.DENIED if self._denied_too_often(request, failure):
                await self._give_up(request, failure)
            case Kind.THROTTLED:
                self.counters.throttled += 1
                self._pause.extend(self._policy.pause(failure, self._episodes, self._clock))
                self._again(request, failure, 0.0)
            case Kind.DENIED | Kind.UNTRUSTED:
                self._client.refresh()
                self._again(request, failure, self._policy.confirm_seconds)
            case _:
                await self._try_again(request, failure)

    def _denied_too_often(self, request: Request, failure: Failure) -> bool:
        of_row = self.health.is_of_row(failure, again=request.tries.suspect)
        return of_row and request.tries.denied + 1 >= self._policy.max_denied

    async def _try_again(self, request: Request, failure: Failure) -> None:
        tries = request.tries.after(failure, others_succeed=self.health.others_succeed)
        seconds = self._clock.now() - self._since(request)
        if self._policy.exhausted(failure, tries, seconds, self.health.garbled_share):
            await self._give_up(request, failure)
        else:
            self._again(request, failure, self._policy.delay(failure, max(1, tries.own), self._clock))

    def _since(self, request: Request) -> float:
        """Return since when *request* fails; an outage does not count, it begins anew after one."""
        since = request.since if self.health.others_succeed else None
        return self._clock.now() if since is None else since

    async def _give_up(self, request: Request, failure: Failure) -> None:
        await self._deliver(answer_from_failure(request, failure, self._run, self._clock.wall()))

    def _again(self, request: Request, failure: Failure, seconds: float) -> None:
        self.counters.retries += 1
        tries = request.tries.after(failure, others_succeed=self.health.others_succeed)
        retried = replace(request, tries=tries, since=self._since(request))
        if seconds > 0:
            self._spawn(self._later(retried, seconds))
        else:
            self._backlog.push(retried, first=True)

    async def _later(self, request: Request, seconds: float) -> None:
        await self._clock.sleep(seconds)
        self._backlog.push(request, first=True)

    def _weaken(self, failure: Failure) -> bool:
        """Ask in a weaker form from now on, if the endpoint refuses this one and never answered in it."""
        form = weaker(self._template.form, self._model, failure.message)
        if self.health.succeeded:
            return False
        if form is None:
            raise ConfigError(f"{failure.message}; set model.structured_output and model.logprobs to auto")
        log.warning("the endpoint refuses %s; asking for %s from now on", self._template.form, form)
        self._template = BodyTemplate(self._task, self._model, form)
        return True
