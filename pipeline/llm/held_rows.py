"""Rows that were refused, are given up, or fail while no other is answered, held back until it is known that they failed and not the endpoint.

A refusal of all rows, such as a spent budget or a model that is gone, looks row by row like one of this row alone. So
a row is held until a request that was sent after its failure has got a reply. Then it is sent again, or the answer that it has failed is
delivered, if a reply came between its first failure and its last, too: a bad moment may outlast two calls of a row.
Where no reply comes for a while, nothing but a control is sent: the same task about a harmless text. Its reply shows that it is the rows
that are refused. If it is refused for as long as no passing trouble lasts, the run ends, and the rows that are held stay open.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import NamedTuple

from pipeline.errors import PipelineError
from pipeline.llm.backlog.queue import RequestQueue
from pipeline.llm.health.breaker import REFUSALS, CircuitBreaker
from pipeline.llm.replies import Failure, Usage
from pipeline.llm.request import Request
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
    """A row that is held.

    Attributes:
        request: Without its last failure in its history.
        failure: That failure.
        since: When it was, on the clock.
        final: Whether the row is given up, and not sent again.
    """

    request: Request
    failure: Failure
    since: float
    final: bool


class HeldRows:
    """The rows of one run that are held by one endpoint."""

    def __init__(
        self,
        queue: RequestQueue,
        pool: WorkerPool,
        breaker: CircuitBreaker,
        clock: Clock,
        deliver: Callable[[Request, Failure], Awaitable[None]],
        ask_again: Callable[[Request, float], None],
    ) -> None:
        """Hold nothing yet.

        Args:
            queue: Where the control is put, and the other requests wait for its outcome; it counts what is held.
            pool: Runs the task that watches what is held.
            breaker: Tells whether the endpoint is available.
            clock: The time.
            deliver: Delivers the answer that a request has failed.
            ask_again: Sends a request again after so many seconds.
        """
        self._queue, self._pool, self._breaker = queue, pool, breaker
        self._clock, self._deliver, self._ask_again = clock, deliver, ask_again
        self._rows: list[_Held] = []
        self._paying: _Held | None = None  # for a control that comes back when all rows have been surrendered
        # What ends the run at last, for each row that is asked to wait for longer than a run may while others are answered.
        self._postponed: list[PipelineError] = []
        self._bound = FIRST_BOUND
        self._controlling = self._watched = False
        self._answered_at = float("-inf")  # when the latest request that got a reply was sent
        self._not_before = float("-inf")  # the control keeps the waits that the rows were told

    async def give_up(self, request: Request, failure: Failure) -> None:
        """Deliver the answer that *request* has failed: at once if its content is to blame, or once others are answered."""
        if failure.about_content:
            await self._deliver(request, failure)
            return
        first = request.failing_since
        # Without a reply between its first refusal and this one, both may have met the same bad moment.
        bracketed = first is not None and first <= self._answered_at
        self._hold(request, failure, final=bracketed or failure.kind not in REFUSALS)

    def hold(self, request: Request, failure: Failure) -> None:
        """Send *request* again once others are answered."""
        self._hold(request, failure, final=False)

    def _hold(self, request: Request, failure: Failure, *, final: bool) -> None:
        now = self._clock.now()
        if not self._breaker.asks_too_much(failure):
            self._not_before = max(self._not_before, now + (failure.retry_after or 0.0))
        self._rows.append(_Held(request, failure, now, final))
        self._queue.rows.held += 1
        if len(self._rows) >= self._bound:
            self._control()
        if not self._watched:
            self._watched = True
            self._pool.spawn(self._watch())

    async def _watch(self) -> None:
        """Send a control whenever no other request can decide; ends when nothing is held.

        Raises:
            PipelineError: If nothing is left but rows that are asked to wait for too long.
        """
        while self._rows or self._postponed:
            await self._clock.sleep(IDLE_SECONDS)
            nobody_answered = self._breaker.open or self._breaker.unclear
            left = self._queue.rows.unanswered - len(self._postponed)
            if self._rows and (nobody_answered or left == self._queue.rows.held):
                self._control()
            if self._postponed and left == 0:
                raise self._postponed[-1]
        self._watched = False

    def _control(self) -> None:
        if not self._controlling:
            self._controlling = True
            self._queue.hold_all()
            self._breaker.gate.leave_to_control(asked=True)
            told = self._not_before - self._clock.now()
            if told > 0:
                self._ask_again(CONTROL, told)
            else:
                self._queue.push(CONTROL, first=True)

    async def on_reply(self, request: Request, sent_at: float) -> None:
        """Let go of the rows that failed before *request* was sent, which has got a reply; a control's bill is kept already."""
        self._answered_at = max(self._answered_at, sent_at)
        if request.control:
            self._controlling = False
            self._breaker.gate.leave_to_control(asked=False)
            self._bound = min(MAX_BOUND, 2 * self._bound)
            self._queue.let_go()
        if self._rows:
            await self._release()

    async def _release(self) -> None:
        # Once a control is asked it alone decides, so that there is a row whose bill its cost can be on.
        if self._controlling:
            return
        released = [held for held in self._rows if held.since <= self._answered_at]
        self._rows = [held for held in self._rows if held.since > self._answered_at]
        self._queue.rows.held -= len(released)
        for held in released:
            if held.final:
                await self._deliver(held.request, held.failure)
            elif (too_much := self._breaker.asks_too_much(held.failure)) is not None:
                self._postponed.append(too_much)
            else:
                again = held.request.after(held.failure, held.since, others_succeed=True)
                told = held.since + (held.failure.retry_after or 0.0) - self._clock.now()
                self._ask_again(again, max(0.0, told))

    def surrender(self) -> list[Request]:
        """Let go of all rows, and return their requests with what they failed with: others are there to be asked."""
        rows, self._rows = self._rows, []
        self._paying = rows[-1] if rows else self._paying
        self._queue.rows.held -= len(rows)
        return [held.request.after(held.failure, held.since, others_succeed=True) for held in rows]

    def bill(self, usage: Usage) -> tuple[Request, Usage]:
        """Put *usage* of a control on the bill of a held row; return that row's request, and what it failed with has cost."""
        held = self._rows[0] if self._rows else self._paying
        assert held is not None, "a control is sent for a row"  # noqa: S101
        attempts = replace(held.request.attempts, paid=held.request.attempts.paid.plus(usage))
        paying = held._replace(request=held.request._replace(attempts=attempts))
        if self._rows:
            self._rows[0] = paying
        else:
            self._paying = paying
        return paying.request, held.failure.usage
