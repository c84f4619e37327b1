"""The endpoint's health: whether it is available, what may end the run, and whether a row is to blame for its failures."""

import logging
from math import inf

from pipeline.errors import PipelineError, ProviderUnavailableError
from pipeline.llm.health.endings import UNAUTHORIZED, ending
from pipeline.llm.health.gate import FIRST_PROBE_SECONDS, Gate
from pipeline.llm.health.streak import Streak
from pipeline.llm.health.window import SlidingWindow
from pipeline.llm.replies import RUN_WIDE, Failure, FailureKind
from pipeline.system.clock import Clock

log = logging.getLogger(__name__)

WINDOW_SECONDS = 10
OPEN_SHARE = 0.9
OPEN_SAMPLES = 20
OPEN_SILENCES = 10
CONFIRMATIONS = 3
"""Refusals of the key or of the certificate that end a run that has had no reply."""

PERSISTED_SECONDS = 20.0
"""For so long nothing but refusals must come back, a control's among them, before they end a run that has had a reply."""

NEVER_CERTAIN_AT_ONCE = frozenset({FailureKind.DENIED, FailureKind.UNTRUSTED})
"""Run-wide failures that are confirmed even if there was no reply before them."""

FIRST_CALLS, FIRST_SHARE = 20, 0.95
"""Number of first calls, and the share of them that, garbled, means that the config is wrong."""

SHARE_WEIGHT = 0.02
"""Weight of one call in the moving shares of failed and of garbled ones: they look back over about 50."""

ROW_PROBES = 3
"""Probes with rows that may fail before a control probes: the rows that are left may be to blame, and no outage."""

UNCLEAR_SHARE = 0.1
"""Share of `max_outage` after which that may be so, too, if the breaker is not open: 3 min of the default 30 min."""

OUTAGE_KINDS = frozenset({FailureKind.TRANSIENT, FailureKind.UNREACHABLE, FailureKind.GARBLED})

REFUSALS = RUN_WIDE | {FailureKind.ROW, FailureKind.UNSUPPORTED}
"""Failures that show that the endpoint is available."""


class CircuitBreaker:
    """A circuit breaker over all calls to the endpoint.

    It opens when at least 90 % of at least 20 calls within 10 s failed, or when 10 calls in a row were silent: no
    connection, or no reply in time. While it is open, its gate is shut; the first reply closes it.

    Attributes:
        gate: Where requests wait while the breaker is open.
        controls: How many controls were answered or failed.
        controls_failed: How many of them failed.
        failed_share: Moving share of calls that failed as in an outage.
        garbled_share: Moving share of garbled replies, without those to rows that are suspect.
        succeeded: Whether there was a reply at all.
    """

    def __init__(self, clock: Clock, max_outage_seconds: float) -> None:
        self._clock = clock
        self._max_outage = max_outage_seconds
        self._window = SlidingWindow(WINDOW_SECONDS, clock)
        self._silences = 0
        self._denials = 0
        self._refused_since: float | None = None
        self._streak = Streak()
        self._first_calls = self._first_garbled = 0  # before the first reply
        self._failing_since: float | None = None
        # While others answer, a probe costs a row a moment; and nobody waits for an endpoint that nobody asks.
        self.gate = Gate(clock) if max_outage_seconds < inf else Gate(clock, FIRST_PROBE_SECONDS)
        self.controls = self.controls_failed = 0
        self.failed_share = self.garbled_share = 0.0
        self.succeeded = False

    @property
    def open(self) -> bool:
        """Whether the breaker is open: the endpoint counts as unavailable."""
        return self.gate.shut

    @property
    def others_succeed(self) -> bool:
        """Whether calls got replies lately, so that a failure says something about its row."""
        return self._window.replies > 0

    @property
    def failing_seconds(self) -> float:
        """For how long nothing but failures has come back; 0 if the last outcome was a reply or a refusal."""
        return 0.0 if self._failing_since is None else self._clock.now() - self._failing_since

    @property
    def unclear(self) -> bool:
        """Whether rows have failed for long, with no replies that show whether they or the endpoint are to blame."""
        seconds = self.failing_seconds
        long = self.gate.probes >= ROW_PROBES if self.open else seconds > UNCLEAR_SHARE * self._max_outage
        return long and not self.others_succeed

    @property
    def refusal_persists(self) -> bool:
        """Whether a refusal of all rows is certain: nothing else has come back for long, or at all."""
        since = self._refused_since
        return not self.succeeded or (since is not None and self._clock.now() - since >= PERSISTED_SECONDS)

    def on_reply(self, *, suspect: bool, control: bool = False) -> None:
        """Record a reply, and close the breaker.

        Args:
            suspect: As for `on_failure`.
            control: As for `on_failure`.
        """
        self.controls += control
        self._window.count(replied=True)
        self._silences = 0
        self._refused_since = None
        since, self._failing_since = self._failing_since, None
        self.succeeded = True
        self.failed_share *= 1 - SHARE_WEIGHT
        self._streak.on_reply()
        if not suspect:
            self.garbled_share *= 1 - SHARE_WEIGHT
        if self.open:
            log.warning("the endpoint is back after %.0f s", self._clock.now() - (since or self._clock.now()))
            self._window.clear()  # or the outage's failures would open it again at the next one
            self.gate.open()

    def on_failure(
        self, failure: Failure, *, suspect: bool, first: bool = True, control: bool = False
    ) -> PipelineError | None:
        """Record a failure, open the breaker if it is an outage, and return the error that must end the run, if any.

        Args:
            failure: What went wrong.
            suspect: Whether the same row was garbled or denied before.
            first: Whether it was the row's first call.
            control: Whether a control failed, and no row.
        """
        self.controls += control
        self.controls_failed += control
        if not self.succeeded:
            self._first_calls += 1
            self._first_garbled += failure.kind is FailureKind.GARBLED
        if failure.kind in OUTAGE_KINDS:
            self.failed_share += SHARE_WEIGHT * (1 - self.failed_share)
            # Whoever garbles its first replies is there, and no outage.
            if self.succeeded or failure.kind is not FailureKind.GARBLED:
                self._record_outage(failure, first=first)
        # A suspect row says more about itself than about the endpoint.
        if failure.kind is FailureKind.GARBLED and not suspect:
            self.garbled_share += SHARE_WEIGHT * (1 - self.garbled_share)
        if failure.kind in REFUSALS:
            self._refused_since = self._clock.now() if self._refused_since is None else self._refused_since
            self._failing_since = None
        else:
            self._streak.on_failure()
            self._failing_since = self._clock.now() if self._failing_since is None else self._failing_since
        # One backend of several may be the one that asks for a long wait: once there was a reply, the control's refusal decides.
        too_much = self.asks_too_much(failure) if control or not self.succeeded else None
        return self._fatal(failure) or too_much or self._outage_too_long(failure)

    def _fatal(self, failure: Failure) -> PipelineError | None:
        # Once there was a reply, a control decides: see `llm.held_rows`.
        if failure.kind in RUN_WIDE and not self.succeeded:
            self._denials += 1
            if failure.kind not in NEVER_CERTAIN_AT_ONCE or self._denials >= CONFIRMATIONS:
                return ending(failure, succeeded=False)
        if failure.kind is FailureKind.GARBLED and self._first_calls >= FIRST_CALLS and self.never_answered:
            return ending(failure, succeeded=False)
        return None

    @property
    def never_answered(self) -> bool:
        """Whether nearly all calls so far got a status of success and no reply: whoever answers is no model."""
        return not self.succeeded and self._first_garbled >= FIRST_SHARE * self._first_calls

    def asks_too_much(self, failure: Failure) -> PipelineError | None:
        """Return the error that ends a run whose rows are all asked to wait for as long as by *failure*; None if it can wait."""
        if (failure.retry_after or 0.0) <= self._max_outage:
            return None
        return ProviderUnavailableError(
            f"the endpoint asks to wait {failure.retry_after:.0f} s, longer than limits.max_outage ({self._max_outage:g} s): "
            f"{failure.message}; run again after that to continue"
        )

    def _outage_too_long(self, failure: Failure) -> PipelineError | None:
        limit, since = self._max_outage, self._failing_since
        # Told by what was asked: where hardly anything is asked and much of it fails, a time without a reply tells little.
        certain = (
            failure.timed_out or failure.kind is FailureKind.UNREACHABLE or not self._streak.may_be_chance
        )
        if since is not None and self._clock.now() - since > limit and certain:
            return ProviderUnavailableError(
                f"the endpoint gave no reply for {limit:g} s (limits.max_outage), at last: "
                f"{failure.message}; run again to continue"
            )
        return None

    def _record_outage(self, failure: Failure, *, first: bool) -> None:
        self._window.count(replied=False)
        if failure.kind is FailureKind.UNREACHABLE or failure.timed_out:
            # Only a row's first timeout counts: one row that is slow again and again is no outage.
            self._silences += first or not failure.timed_out
        else:
            self._silences = 0
        replies, failures = self._window.replies, self._window.failures
        mostly_failed = replies + failures >= OPEN_SAMPLES and failures >= OPEN_SHARE * (replies + failures)
        if (mostly_failed or self._silences >= OPEN_SILENCES) and not self.open:
            self.gate.close()
            log.warning(
                "the endpoint is away: %s; %s", failure.message,
                f"waiting for it, for at most {self._max_outage:g} s (limits.max_outage)"
                if self._max_outage < inf else "it is asked now and then whether it is back",
            )  # fmt: skip

    def is_about_row(self, failure: Failure, *, suspect: bool) -> bool:
        """Return whether a failure of the run-wide kinds is about the row's text."""
        # Gateways answer 403, 404 or a redirect to texts that they dislike; key, model and path have brought replies.
        if failure.kind in {FailureKind.QUOTA, FailureKind.UNTRUSTED} or failure.status == UNAUTHORIZED:
            return False
        return suspect and self.succeeded
