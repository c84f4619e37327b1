"""A request on its way: what is asked, what it has been through, and the answer that comes of it."""

from dataclasses import dataclass, replace
from typing import TypeVar

from pipeline.llm.replies import Failure, Reply
from pipeline.llm.retry import Tries
from pipeline.records import Answer, Prompt

Number = TypeVar("Number", int, float)


@dataclass(frozen=True, slots=True)
class Request:
    """One prompt on its way to the endpoint.

    Attributes:
        prompt: What is asked.
        previous: The invalid answer that makes this the second, stricter ask; None for the first.
        tries: What it has been through.
        since: When it was first sent, on the clock; None if it was not.
    """

    prompt: Prompt
    previous: Answer | None = None
    tries: Tries = Tries()
    since: float | None = None


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


def answer_from_reply(request: Request, reply: Reply, cost_usd: float | None, run: str, at: float) -> Answer:
    """Return the answer that *reply* is to *request*.

    An invalid answer of the same run, which this one replaces, was paid too: its tokens are added.
    """
    first, usage = request.previous, reply.usage
    paid = first if first is not None and first.run == run else None
    return Answer(
        key=request.prompt.key,
        run=run,
        text=reply.text,
        finish=reply.finish,
        status=reply.status,
        error=reply.error,
        logprobs=reply.logprobs,
        prompt_tokens=_sum(usage.prompt_tokens, paid.prompt_tokens if paid else None),
        cached_tokens=_sum(usage.cached_tokens, paid.cached_tokens if paid else None),
        completion_tokens=_sum(usage.completion_tokens, paid.completion_tokens if paid else None),
        cost_usd=_sum(cost_usd, paid.cost_usd if paid else None),
        model=reply.model,
        request_id=reply.request_id,
        attempts=request.tries.calls + 1 + (paid.attempts if paid else 0),
        asks=1 + (first.asks if first else 0),
        at=at,
    )


def answer_from_failure(request: Request, failure: Failure, run: str, at: float) -> Answer:
    """Return the answer that stands for a row that cannot be answered.

    If there was an invalid answer before, that one stays, as the last word.
    """
    calls = request.tries.calls + 1
    if request.previous is not None:
        previous = request.previous
        return replace(previous, asks=previous.asks + 1, attempts=previous.attempts + calls)
    return Answer(
        key=request.prompt.key,
        run=run,
        text=None,
        finish=None,
        status=failure.row_status,
        error=f"after {calls} attempts: {failure.message}" if calls > 1 else failure.message,
        logprobs=None,
        prompt_tokens=None,
        cached_tokens=None,
        completion_tokens=None,
        cost_usd=None,
        model=None,
        request_id=None,
        attempts=calls,
        asks=1,
        at=at,
    )


def _sum(one: Number | None, other: Number | None) -> Number | None:
    return other if one is None else one if other is None else one + other
