"""The backlog that several endpoints pull from, and each one's way to it.

Nobody assigns a request to an endpoint: whoever may send one takes it, so that a faster endpoint takes more, and none waits for another.
What one has failed with goes back to the front, for the others at once and for itself after the retry's wait.
"""

from collections import deque
from collections.abc import Callable
from itertools import islice
from math import inf

from pipeline.llm.backlog.delivery import Deliver, Delivery
from pipeline.llm.backlog.queue import Line, OpenRows, RequestQueue, Spawn
from pipeline.llm.backlog.usefulness import Given, Usefulness
from pipeline.llm.backlog.waiting import NOWHERE_FAILED, Waiting
from pipeline.llm.packs.delivery import Packing
from pipeline.llm.request import Request
from pipeline.system.clock import Clock

FULL_SECONDS = 2.0
"""An endpoint that had no room for so long is full: those of a higher `priority` are asked, too."""

ELSEWHERE_SECONDS = 5.0
"""For so long the second ask of an answer that is unusable is left to the endpoints that did not give it."""

LOOKED_AT = 100
"""Failed requests that are looked at for one that an endpoint may take: in a storm there are many that it may not yet."""

RECALL_SECONDS = 1.0
"""How long a request may wait to be sent while another endpoint has room for it."""


class Backlog:
    """The requests that wait for any of several endpoints.

    Attributes:
        rows: Counts the prompts without an answer, of all endpoints.
        packing: Makes one request of several of them; None where each is sent alone.
        taps: The endpoints' ways to it.
        given: Who has given which answer.
    """

    def __init__(self, clock: Clock, packing: Packing | None = None) -> None:
        self.clock, self.rows, self.packing = clock, OpenRows(), packing
        self.taps: list[Tap] = []
        self._fresh: Line = packing.line(self.rows) if packing else deque()
        self._again: deque[Waiting] = deque()  # second asks, and what has failed
        self.given: Given[Tap] = Given()
        self._turn = 0.0  # of the endpoint that took the latest request

    def push(self, request: Request) -> None:
        """Add a request that was not sent before; a second ask is left to others than the first one's endpoint."""
        self.rows.unanswered += 1
        if request.previous is None:
            self._fresh.append(request)
        else:
            by = self.answered_by(request.prompt.key)
            later: dict[object, float] = {by: self.clock.now() + ELSEWHERE_SECONDS} if by else {}
            self._again.append(Waiting(request, later))
        self.offer()

    def put_back(self, waiting: Waiting, *, first: bool = False) -> None:
        """Add a request that an endpoint had taken, without the form in which that one takes it."""
        waiting = waiting._replace(request=waiting.request._replace(form=None))
        (self._again.appendleft if first else self._again.append)(waiting)
        self.offer()

    def take(self, tap: "Tap") -> Waiting | None:
        """Take the next request that *tap* may have; None if there is none."""
        now = self.clock.now()
        for index, waiting in enumerate(islice(self._again, LOOKED_AT)):
            if waiting.not_before.get(tap, 0.0) <= now and not self._is_anothers_turn(tap, waiting, now):
                del self._again[index]
                return self._taken(tap, waiting)
        if self._fresh and not self._is_anothers_turn(tap, NOWHERE_FAILED, now):
            return self._taken(tap, Waiting(self._fresh.popleft()))
        return None

    def _taken(self, tap: "Tap", waiting: Waiting) -> Waiting:
        self._turn = tap.turn
        tap.turn += 1 / tap.weight
        return waiting

    def catch_up(self, tap: "Tap") -> None:
        """Forget what *tap* did not take while it had no room: what it has missed is not made up for."""
        tap.turn = max(tap.turn, self._turn - 1 / tap.weight)

    def _is_anothers_turn(self, tap: "Tap", waiting: Waiting, now: float) -> bool:
        for other in self.taps:
            if other is tap or other.away or waiting.not_before.get(other, 0.0) > now:
                continue
            if other.priority < tap.priority:
                if other.has_room or now - other.had_room_at < FULL_SECONDS:
                    return True
            elif other.priority == tap.priority and other.turn < tap.turn and other.has_room:
                return True
        return False

    def offer(self) -> None:
        """Have the endpoint that is next look at what waits, if anybody waits for it."""
        waiting = [tap for tap in self.taps if tap.waits]
        if waiting:
            min(waiting, key=lambda tap: (tap.priority, tap.turn)).wake(1)

    def offer_to_all(self) -> None:
        """Have every endpoint look: waits are over, or others have no room any more."""
        if self._fresh or self._again:
            for tap in self.taps:
                if tap.waits:
                    tap.wake(1)

    def recall(self) -> None:
        """Take back what waits at one endpoint while another has nothing to do."""
        for tap in self.taps:
            if any(other is not tap and other.has_room for other in self.taps):
                tap.recall()

    def answered_by(self, key: bytes) -> "Tap | None":
        """Return who has answered the prompt with *key* lately; None if nobody has."""
        return self.given.get(key)


class Tap(RequestQueue):
    """One endpoint's way to the backlog: the queue of its dispatcher. It has one request in hand that is not sent yet, at most.

    Attributes:
        weight: Its share of what is taken while others have room.
        priority: It takes only while those of a lower one are away or full.
        turn: What it has taken so far, divided by its weight.
        had_room_at: When it was last seen waiting for a request.
        wait_seconds: Tells for how long its endpoint takes nothing; set before the first request is taken.
        is_away: Tells whether its endpoint takes nothing at all.
        usefulness: Of its answers.
        closed: Whether it takes nothing any more.
    """

    def __init__(self, backlog: Backlog, weight: float, priority: int) -> None:
        super().__init__(backlog.rows)
        self.weight, self.priority = weight, priority
        self.turn, self.had_room_at = 0.0, backlog.clock.now()
        self.wait_seconds: Callable[[], float] = lambda: inf
        self.is_away: Callable[[], bool] = lambda: False
        self.closed = False
        self._backlog = backlog
        self._unsent: Request | None = None
        self._unsent_since, self._recalled = 0.0, False
        self._starved = False
        self.usefulness = Usefulness()
        self._in_hand: dict[bytes, Waiting] = {}
        backlog.taps.append(self)

    @property
    def away(self) -> bool:
        """Whether the endpoint takes nothing, for long or for ever."""
        return self.closed or self.is_away()

    @property
    def has_room(self) -> bool:
        """Whether somebody waits here who could send a request at once, and found none."""
        return self._starved and self.waits

    @property
    def waits(self) -> bool:
        """Whether somebody waits here who might take a request now."""
        return self._may_take and any(not waiter.done() for waiter in self._waiters)

    @property
    def _may_take(self) -> bool:
        return not (self.closed or self._unsent or self._held is not None or self.wait_seconds() > 0)

    def pop(self) -> Request | None:
        """Take what is this endpoint's alone, or the next request of the backlog."""
        if self._requests:
            return self._requests.popleft()
        if not self._may_take:
            return None
        waiting = self._backlog.take(self)
        if waiting is None or self._starved:
            self.had_room_at = self._backlog.clock.now()
        self._starved = waiting is None
        if waiting is None:
            self._backlog.catch_up(self)
            return None
        self._unsent, self._unsent_since = waiting.request, self._backlog.clock.now()
        self._in_hand[waiting.request.prompt.key] = waiting
        return waiting.request

    def sent(self, request: Request) -> bool:
        """Record that *request* may be sent now, so that another is taken if it was in hand; return whether it was recalled."""
        if request is not self._unsent:  # it is this endpoint's alone
            return False
        recalled, self._recalled, self._unsent = self._recalled, False, None
        self.wake(1)
        return recalled

    def recall(self) -> None:
        """Give back the request in hand if it has waited for long; whoever waits with it here drops it then."""
        long = self._backlog.clock.now() - self._unsent_since > RECALL_SECONDS
        if self._unsent is None or self._recalled or not long:
            return
        if (waiting := self._in_hand.pop(self._unsent.prompt.key, None)) is not None:
            self._recalled = True
            self._backlog.put_back(waiting, first=True)

    def answered(self, key: bytes) -> None:
        """Record that the prompt with *key* has its answer."""
        self._backlog.given.by(key, self)
        self.usefulness.on_answer()

    def delivery(self, deliver: Deliver, run: str, clock: Clock) -> Delivery:
        """Return the way to the ledger for this endpoint's replies."""
        packing = self._backlog.packing
        return packing.delivery(deliver, run, self) if packing else super().delivery(deliver, run, clock)

    def done(self, request: Request) -> None:
        """Record that *request* has its answer."""
        super().done(request)
        self._in_hand.pop(request.prompt.key, None)

    def push(self, request: Request, *, first: bool) -> None:
        """Keep what is for this endpoint alone, a control or a form of its own; give everything else back."""
        if request.control or (request.form is not None and not self.closed):
            super().push(request, first=first)
        elif not self.sent(request):  # else it was recalled, and the backlog has it
            before = self._in_hand.pop(request.prompt.key, NOWHERE_FAILED)
            self._backlog.put_back(before._replace(request=request), first=first)

    def push_again(self, request: Request, seconds: float, spawn: Spawn, clock: Clock) -> None:
        """Give *request* back, which has failed here: others may take it at once, this endpoint after so many *seconds*."""
        if request.control or request.form is not None:
            super().push_again(request, seconds, spawn, clock)
            return
        before = self._in_hand.pop(request.prompt.key, NOWHERE_FAILED).not_before
        self._backlog.put_back(Waiting(request, {**before, self: clock.now() + seconds}))

    def give_back_forms(self) -> None:
        """Give back what waits for this endpoint alone: it is away, and others are not."""
        kept = [request for request in self._requests if request.control]
        given = [request for request in [*self._requests, *(self._held or ())] if not request.control]
        if given:
            self._requests = deque(kept)
            self._held = None if self._held is None else deque()
            for request in given:
                self.push(request._replace(form=None), first=False)

    def give_back_all(self) -> None:
        """Give back everything that was taken and has no answer: the endpoint is asked no more."""
        self.give_back_forms()
        while self._in_hand:
            self._backlog.put_back(self._in_hand.popitem()[1])
