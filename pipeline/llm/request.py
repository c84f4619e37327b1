"""A request on its way: what is asked, what it has been through, and the answer that comes of it."""

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

from pipeline.llm.replies import NOTHING, Failure, Reply, Usage
from pipeline.llm.retry import Tries
from pipeline.records import Answer, Prompt

FRESH = Tries()


class Request(NamedTuple):
    """One prompt on its way to the endpoint.

    Attributes:
        prompt: What is asked.
        previous: The invalid answer that makes this the second, stricter ask; None for the first.
        tries: What it has been through.
        since: When it first failed while others got replies, on the clock; None if it did not.
    """

    prompt: Prompt
    previous: Answer | None = None
    tries: Tries = FRESH
    since: float | None = None


class RequestQueue:
    """The requests that wait for a worker, and the workers that wait for a request."""

    def __init__(self) -> None:
        self._requests: deque[Request] = deque()
        self._hungry: deque[asyncio.Future[None]] = deque()

    def push(self, request: Request, *, first: bool) -> None:
        """Put *request* to the end, or *first*: its chunk is the oldest."""
        if first:
            self._requests.appendleft(request)
        else:
            self._requests.append(request)
        while self._hungry:
            waiter = self._hungry.popleft()
            if not waiter.done():
                waiter.set_result(None)
                break

    def pop(self) -> Request | None:
        """Return the first request; None if there is none."""
        return self._requests.popleft() if self._requests else None

    async def next(self) -> Request:
        """Return the first request as soon as there is one."""
        while not self._requests:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._hungry.append(waiter)
            await waiter
        return self._requests.popleft()


@dataclass(slots=True)
class Counters:
    """What the workers have done so far."""

    requests: int = 0
    retries: int = 0
    throttled: int = 0
    answers: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0

    def bill(self, usage: Usage) -> None:
        """Add the tokens that a call was billed for; an unknown number adds nothing."""
        self.prompt_tokens += usage.prompt_tokens or 0
        self.cached_tokens += usage.cached_tokens or 0
        self.completion_tokens += usage.completion_tokens or 0


def answer_from_reply(request: Request, reply: Reply, run: str, at: float) -> Answer:
    """Return the answer that *reply* is to *request*.

    What garbled replies before it cost is added, and so is an invalid answer of the same run, which this one
    replaces: all of them were paid.
    """
    first = request.previous
    replaced = first if first is not None and first.run == run else None
    usage = reply.usage.plus(request.tries.paid).plus(_billed(replaced))
    return Answer(
        key=request.prompt.key,
        run=run,
        text=reply.text,
        finish=reply.finish,
        status=reply.status,
        error=reply.error,
        logprobs=reply.logprobs,
        prompt_tokens=usage.prompt_tokens,
        cached_tokens=usage.cached_tokens,
        completion_tokens=usage.completion_tokens,
        cost_usd=usage.cost_usd,
        model=reply.model,
        request_id=reply.request_id,
        attempts=request.tries.calls + 1 + (replaced.attempts if replaced else 0),
        asks=1 + (first.asks if first else 0),
        at=at,
    )


def answer_from_failure(request: Request, failure: Failure, run: str, at: float) -> Answer:
    """Return the answer that stands for a row that cannot be answered.

    If there was an invalid answer before, that one stays, as the last word; what this run paid is on this
    run's bill, and an earlier run's payment on that one's.
    """
    calls = request.tries.calls + 1
    paid = request.tries.paid.plus(failure.usage)
    previous = request.previous
    if previous is not None:
        bill = _billed(previous if previous.run == run else None).plus(paid)
        return previous._replace(
            run=run,
            at=at,
            asks=previous.asks + 1,
            attempts=previous.attempts + calls,
            prompt_tokens=bill.prompt_tokens,
            cached_tokens=bill.cached_tokens,
            completion_tokens=bill.completion_tokens,
            cost_usd=bill.cost_usd,
        )
    return Answer(
        key=request.prompt.key,
        run=run,
        text=None,
        finish=None,
        status=failure.row_status,
        error=f"after {calls} attempts: {failure.message}" if calls > 1 else failure.message,
        logprobs=None,
        prompt_tokens=paid.prompt_tokens,
        cached_tokens=paid.cached_tokens,
        completion_tokens=paid.completion_tokens,
        cost_usd=paid.cost_usd,
        model=None,
        request_id=None,
        attempts=calls,
        asks=1,
        at=at,
    )


def _billed(answer: Answer | None) -> Usage:
    if answer is None:
        return NOTHING
    return Usage(answer.prompt_tokens, answer.cached_tokens, answer.completion_tokens, answer.cost_usd)
