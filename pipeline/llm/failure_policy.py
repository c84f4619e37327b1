"""What is done about a failed call: the decision alone, which the dispatcher carries out."""

import logging
from dataclasses import replace
from enum import Enum, auto
from typing import NamedTuple

from pipeline.errors import PipelineError
from pipeline.llm.health.breaker import OUTAGE_KINDS, PERSISTED_SECONDS, REFUSALS, CircuitBreaker
from pipeline.llm.health.endings import ending
from pipeline.llm.health.sentences import Sentences
from pipeline.llm.protocol.form import RequestForm
from pipeline.llm.protocol.negotiation import FormatNegotiator
from pipeline.llm.replies import RUN_WIDE, Failure, FailureKind
from pipeline.llm.request import Request
from pipeline.llm.retry import RetryPolicy
from pipeline.system.clock import Clock

log = logging.getLogger(__name__)

DOUBTED_CALLS = 8
"""Calls after which a row may be to blame that fails while no other is answered; it may also be sooner, see `CircuitBreaker.unclear`."""

DOUBTED = OUTAGE_KINDS - {FailureKind.UNREACHABLE}
"""Failures that look like an outage and may be a row's own; without a connection nobody has read it."""

PACK_FAILURES = 2
"""Calls of a pack that fail while others are answered, after which it is asked in halves: one of its rows may be to blame."""

MOST_TOLD = 5
"""Kinds of unreadable replies that are logged."""


class Action(Enum):
    """What the dispatcher does next."""

    RETRY = auto()
    """Send the request again after a wait, in which its worker serves others."""
    CONFIRM = auto()
    """Send it again after a wait in which its worker serves nobody: before the first reply, another would fare no better."""
    HOLD = auto()
    """Send it again once others are answered, and meanwhile find out with a control whether any can be, see `llm.held_rows`."""
    THROTTLE = auto()
    """Send it again once the endpoint takes more; the pace is adapted."""
    GIVE_UP = auto()
    """Deliver the answer that the row has failed, once it is known that the endpoint has not."""
    TAKE_FOR_REPLY = auto()
    """A control, see `llm.held_rows`, was answered well enough to show that the endpoint is not to blame."""
    END_RUN = auto()
    """Raise the decision's error."""


class Decision(NamedTuple):
    """What is done about a failure.

    Attributes:
        action: What the dispatcher does.
        request: The request, with this failure in its history where it is sent again.
        after: Seconds to wait before that.
        error: What ends the run.
    """

    action: Action
    request: Request
    after: float = 0.0
    error: PipelineError | None = None


class FailurePolicy:
    """Decides about each failure, from its kind, its row's history and how other calls fare."""

    def __init__(
        self, breaker: CircuitBreaker, negotiator: FormatNegotiator, retries: RetryPolicy, clock: Clock
    ) -> None:
        self._breaker, self._negotiator = breaker, negotiator
        self._retries, self._clock = retries, clock
        self._sentences = Sentences()
        self._told: set[str] = set()

    def on_reply(self, request: Request) -> None:
        """Learn from a reply to *request* what its earlier refusals were not about."""
        if request.attempts.refusal:
            self._sentences.on_survived(request.attempts.refusal)

    def judged(self, request: Request, failure: Failure) -> Failure:
        """Return the *failure* of *request*, as a throttle if what it says is known to pass."""
        return self._sentences.judged(failure, request.attempts.calls)

    def decide(self, request: Request, failure: Failure, form: RequestForm) -> Decision:
        """Return what is done about the *failure* of *request*, which was sent in *form*.

        Raises:
            ConfigError: If the endpoint takes no form that the config allows.
        """
        # First of all: a refused form says nothing about the endpoint's health, nor about the row.
        if failure.kind is FailureKind.GARBLED:
            self._tell_garbled(failure)
        in_other_form = self._in_other_form(request, failure, form)
        if in_other_form is not None:
            return in_other_form
        attempts = request.attempts
        fatal = self._breaker.on_failure(
            failure, suspect=attempts.suspect, first=attempts.calls == 0, control=request.control
        )
        if fatal is not None:
            return Decision(Action.END_RUN, self._again(request, failure), error=fatal)
        if request.control and failure.kind in REFUSALS:
            return self._on_refused_control(request, failure)
        decision = self._by_kind(request, failure)
        if request.control and decision.action is Action.GIVE_UP:
            return self._on_failed_control(request, failure)
        return decision

    def _tell_garbled(self, failure: Failure) -> None:
        """Say what came instead of a reply, once for each kind: it may have been paid, and is asked for again."""
        what = failure.message.partition("; it begins")[0]
        if what not in self._told and len(self._told) < MOST_TOLD:
            self._told.add(what)
            log.warning("a reply cannot be read, and is asked for again: %s", failure.message)

    def _on_refused_control(self, request: Request, failure: Failure) -> Decision:
        if self._breaker.refusal_persists:
            return self._on_failed_control(request, failure)
        # It may be a moment in which a gateway knows nobody, and the rows can wait.
        if request.attempts.calls == 0:
            log.warning(
                "the endpoint refuses every request: %s; it is asked again for %g s, as that may pass",
                failure.message, PERSISTED_SECONDS,
            )  # fmt: skip
        after = self._retries.control.after(request.attempts.calls + 1, self._clock)
        return Decision(Action.RETRY, self._again(request, failure), max(after, failure.retry_after or 0.0))

    def _on_failed_control(self, request: Request, failure: Failure) -> Decision:
        succeeded = self._breaker.succeeded
        if failure.kind is FailureKind.GARBLED and succeeded:  # served, if badly: nobody is refused
            return Decision(Action.TAKE_FOR_REPLY, request)
        return Decision(Action.END_RUN, request, error=ending(failure, succeeded=succeeded))

    def _in_other_form(self, request: Request, failure: Failure, form: RequestForm) -> Decision | None:
        """Return the decision to send *request* in another form at once; None if the form is not to blame."""
        other = self._negotiator.on_refusal(
            failure, form, proven=self._breaker.succeeded, attempts=request.attempts
        )
        if other is None:
            return None
        again = self._again(request, failure)
        # A reply in another form does not show that this one's refusal has passed.
        again = again._replace(attempts=replace(again.attempts, refusal=""), form=other)
        return Decision(Action.RETRY, again)

    def _by_kind(self, request: Request, failure: Failure) -> Decision:
        if self._breaker.asks_too_much(failure):
            return Decision(Action.HOLD, request)
        match failure.kind:
            case FailureKind.REPLACED:
                return Decision(Action.RETRY, self._again(request, failure))
            case FailureKind.THROTTLED:
                return Decision(Action.THROTTLE, self._again(request, failure))
            case kind if kind in REFUSALS:
                return self._on_refusal(request, failure)
        return self._retry_or_give_up(request, failure)

    def _on_refusal(self, request: Request, failure: Failure) -> Decision:
        attempts, succeeded = request.attempts, self._breaker.succeeded
        if failure.kind in RUN_WIDE:
            about_row = self._breaker.is_about_row(failure, suspect=attempts.suspect)
            most = self._retries.max_denied if about_row else self._retries.max_attempts
            final = attempts.denied + 1 >= most
        else:  # a backend of a router or a gateway's page may have refused it: it is sent once more
            final = failure.about_content or self._sentences.is_final(
                failure, attempts.refused, succeeded=succeeded
            )
        if final or succeeded:
            return Decision(Action.GIVE_UP if final else Action.HOLD, request)
        again, seconds = self._again(request, failure), self._retries.confirm_seconds
        if (failure.retry_after or 0.0) > seconds:  # too long for a worker to serve nobody
            return Decision(Action.RETRY, again, self._retries.delay(failure, 1, self._clock))
        return Decision(Action.CONFIRM, again, seconds)

    def _retry_or_give_up(self, request: Request, failure: Failure) -> Decision:
        again = self._again(request, failure)
        seconds = self._clock.now() - self._failing_since(request)
        shares = (self._breaker.garbled_share, self._breaker.failed_share)
        # Before the first reply, one row's garbled ones tell as much as those of all: each may have been paid.
        garbled = failure.kind is FailureKind.GARBLED and self._breaker.never_answered
        enough = garbled and (request.control or again.attempts.garbled >= self._retries.max_garbled)
        enough |= request.pack is not None and again.attempts.own_failures >= PACK_FAILURES
        if enough or self._retries.exhausted(failure, again.attempts, seconds, *shares):
            return Decision(Action.GIVE_UP, request)
        if self._doubted(failure, again):
            # It counts against the row only if the control is answered: else the row is sent again without it.
            confirmed = request.attempts.after(failure, others_succeed=True)
            condemned = self._retries.condemned(
                confirmed, self._breaker.controls, self._breaker.controls_failed
            )
            return Decision(Action.GIVE_UP if condemned else Action.HOLD, request)
        failures = again.attempts.calls if again.control else again.attempts.own_failures
        return Decision(Action.RETRY, again, self._retries.delay(failure, max(1, failures), self._clock))

    def _doubted(self, failure: Failure, again: Request) -> bool:
        """Return whether the row may be what fails and not the endpoint, which a control is to show."""
        if again.control or self._breaker.others_succeed or failure.kind not in DOUBTED:
            return False
        if failure.kind is FailureKind.GARBLED and not self._breaker.succeeded:
            return False
        return again.attempts.calls >= DOUBTED_CALLS or self._breaker.unclear

    def _again(self, request: Request, failure: Failure) -> Request:
        """Return *request* with *failure* in its history, to be sent in whatever form is current then."""
        return request.after(
            failure, self._failing_since(request), others_succeed=self._breaker.others_succeed
        )

    def _failing_since(self, request: Request) -> float:
        # Time in which the endpoint was unavailable does not count against the row: it begins anew after an outage.
        since = request.failing_since if self._breaker.others_succeed else None
        return self._clock.now() if since is None else since
