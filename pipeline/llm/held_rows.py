"""Rows that are given up, held back until it is known that they failed and not the endpoint.

A refusal of all rows, such as a spent budget or a model that is gone, looks row by row like one of this row alone. So
the answer that a row has failed is delivered once a request that was sent after its first failure has got a reply. Where none gets one
for a while, nothing but a control is sent: the same task about a harmless text. Its reply shows that it is the rows that
are refused. If it is refused too, the run ends, and the rows that are held stay open.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import NamedTuple

from pipeline.llm.health.breaker import CircuitBreaker
from pipeline.llm.replies import Failure, Usage
from pipeline.llm.request import Request, RequestQueue
from pipeline.llm.workers import WorkerPool
from pipeline.records import Prompt
from pipeline.system.clock import Clock

CONTROL = Request(Prompt(b"", "This is a test.", truncated=False), control=True)
"""The control; its reply is paid, and is on the bill of a row that it decides about."""

FIRST_BOUND, MAX_BOUND = 10, 1000
"""Rows held without a later reply at which a control is sent: doubled by each one that is answered, up to the second."""

IDLE_SECONDS = 0.5
"""How often it is looked whether all requests that are left are held."""


class _Held(NamedTuple):
    """A row that is given up, and since when it has failed, on the clock."""

    request: Request
    failure: Failure
    since: float


class HeldRows:
    """The rows of one run that are given up, and not yet delivered as failed.

    Attributes:
        unanswered: Prompts that have no answer yet, among them those of the rows that are held; counted by the dispatcher.
    """

    def __init__(
        self,
        queue: RequestQueue,
        pool: WorkerPool,
        breaker: CircuitBreaker,
        clock: Clock,
        deliver: Callable[[Request, Failure], Awaitable[None]],
    ) -> None:
        """Hold nothing yet.

        Args:
            queue: Where the control is put, and the other requests wait for its outcome.
            pool: Runs the task that watches what is held.
            breaker: Tells whether the endpoint is available.
            clock: The time.
            deliver: Delivers the answer that a request has failed.
        """
        self._queue, self._pool, self._breaker = queue, pool, breaker
        self._clock, self._deliver = clock, deliver
        self._rows: list[_Held] = []
        self._bound = FIRST_BOUND
        self._controlling = self._watched = False
        self._answered_at = float("-inf")  # when the latest request that got a reply was sent
        self.unanswered = 0

    async def give_up(self, request: Request, failure: Failure) -> None:
        """Deliver the answer that *request* has failed: at once if its content is to blame, or once others are answered."""
        if failure.about_content:
            await self._deliver(request, failure)
            return
        # From its first failure on: if others were answered between that and this one, it is the row.
        since = request.failing_since if request.failing_since is not None else self._clock.now()
        self._rows.append(_Held(request, failure, since))
        await self._release()
        if len(self._rows) >= self._bound:
            self._control()
        if self._rows and not self._watched:
            self._watched = True
            self._pool.spawn(self._watch())

    async def _watch(self) -> None:
        """Send a control whenever no other request can decide; ends when nothing is held."""
        while self._rows:
            await self._clock.sleep(IDLE_SECONDS)
            if self._rows and (self._breaker.open or self.unanswered == len(self._rows)):
                self._control()
        self._watched = False

    def _control(self) -> None:
        if not self._controlling:
            self._controlling = True
            self._queue.hold_all()
            self._queue.push(CONTROL, first=True)

    async def on_reply(self, request: Request, usage: Usage, sent_at: float) -> None:
        """Deliver the rows that have failed since before *request* was sent, which has got a reply of *usage*."""
        self._answered_at = max(self._answered_at, sent_at)
        if request.control:
            self._controlling = False
            self._bound = min(MAX_BOUND, 2 * self._bound)
            self.bill(usage)
            self._queue.let_go()
        if self._rows:
            await self._release()

    async def _release(self) -> None:
        # Once a control is asked it alone decides, so that there is a row whose bill its cost can be on.
        if self._controlling:
            return
        released = [held for held in self._rows if held.since <= self._answered_at]
        self._rows = [held for held in self._rows if held.since > self._answered_at]
        for held in released:
            await self._deliver(held.request, held.failure)

    def bill(self, usage: Usage) -> tuple[Request, Usage]:
        """Put *usage* of a control on the bill of a held row; return that row's request, and what it failed with has cost."""
        held = self._rows[0]
        attempts = replace(held.request.attempts, paid=held.request.attempts.paid.plus(usage))
        self._rows[0] = held._replace(request=held.request._replace(attempts=attempts))
        return self._rows[0].request, held.failure.usage
