"""The way from a reply to the ledger."""

from collections.abc import Awaitable
from typing import Protocol

from pipeline.llm.replies import NO_USAGE, Failure, Reply, Usage
from pipeline.llm.request import Request, answer_from_failure, answer_from_reply, bill_key, without_reply
from pipeline.records import Answer
from pipeline.system.clock import Clock


class Deliver(Protocol):
    """What takes answers, and bills without one."""

    def __call__(self, *answers: Answer) -> Awaitable[None]:
        """Keep *answers*, all or none of them; wait when the disk is behind."""


class Delivery:
    """The way to the ledger: an answer to each request, and until there is one, the bill of what it has cost.

    A bill is replaced by the next one of its request, and by an empty one beside the answer, which holds all costs itself.
    """

    def __init__(self, deliver: Deliver, run: str, clock: Clock) -> None:
        self._deliver, self._run, self._clock = deliver, run, clock

    async def reply(self, request: Request, reply: Reply) -> None:
        """Deliver the answer that *reply* gives."""
        answer = answer_from_reply(request, reply, self._run, self._clock.wall())
        await self._deliver(answer, *self._settled(request, request.attempts.paid))

    async def failure(self, request: Request, failure: Failure) -> None:
        """Deliver the answer that *request* is given up for *failure*."""
        answer = answer_from_failure(request, failure, self._run, self._clock.wall())
        await self._deliver(answer, *self._settled(request, request.attempts.paid.plus(failure.usage)))

    async def bill(self, request: Request, usage: Usage) -> None:
        """Deliver what *request* has cost, with the *usage* of a reply without its answer: the run may end before there is one."""
        await self._deliver(self._bill(request, request.attempts.paid.plus(usage)))

    def _settled(self, request: Request, paid: Usage) -> tuple[Answer, ...]:
        return () if paid is NO_USAGE else (self._bill(request, NO_USAGE),)

    def _bill(self, request: Request, paid: Usage) -> Answer:
        key = bill_key(request.prompt.key, self._run)
        return without_reply(key, self._run, paid, request.attempts.calls + 1, self._clock.wall())
