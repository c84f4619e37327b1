"""The endpoint's health: whether it is available, what may end the run, and whether a row is to blame for its failures."""

import asyncio
import logging

from pipeline.errors import PipelineError, ProviderUnavailableError
from pipeline.llm.health.endings import UNAUTHORIZED, ending
from pipeline.llm.health.streak import Streak
from pipeline.llm.health.window import SlidingWindow
from pipeline.llm.replies import RUN_WIDE, Failure, FailureKind
from pipeline.system.clock import Clock

log = logging.getLogger(__name__)

WINDOW_SECONDS = 10
OPEN_SHARE = 0.9
OPEN_SAMPLES = 20
OPEN_SILENCES = 10
FIRST_PROBE_SECONDS = 5.0
MAX_PROBE_SECONDS = 30.0
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

UNDECIDED_SHARE = 0.5
"""Share of `max_outage` after which the remaining rows may be to blame: 15 min of the default 30 min."""

OUTAGE_KINDS = frozenset({FailureKind.TRANSIENT, FailureKind.UNREACHABLE, FailureKind.GARBLED})

REFUSALS = RUN_WIDE | {FailureKind.ROW, FailureKind.UNSUPPORTED}
"""Failures that show that the endpoint is available."""


class CircuitBreaker:
    """A circuit breaker over all calls to the endpoint.

    It opens when at least 90 % of at least 20 calls within 10 s failed, or when 10 calls in a row were silent: no
    connection, or no reply in time. While it is open, one call every 5 to 30 s probes; the first reply closes it.

    Attributes:
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
        self._probes, self._next_probe_at = 0, 0.0
        self._probe_lock = asyncio.Lock()
        self._closed = asyncio.Event()
        self._closed.set()
        self.failed_share = self.garbled_share = 0.0
        self.succeeded = False

    @property
    def open(self) -> bool:
        """Whether the breaker is open: the endpoint counts as unavailable."""
        return not self._closed.is_set()

    @property
    def others_succeed(self) -> bool:
        """Whether calls got replies lately, so that a failure says something about its row."""
        return self._window.replies > 0

    @property
    def undecided(self) -> bool:
        """Whether calls have failed for long, too few to open the breaker and with no replies to compare them with.

        Such failures do not show whether the endpoint is unavailable or the rows are to blame.
        """
        since = self._failing_since
        seconds = 0.0 if since is None else self._clock.now() - since
        long = seconds > UNDECIDED_SHARE * self._max_outage
        return long and not (self.open or self.others_succeed or self._streak.may_be_chance)

    @property
    def refusal_persists(self) -> bool:
        """Whether a refusal of all rows is certain: nothing else has come back for long, or at all."""
        since = self._refused_since
        return not self.succeeded or (since is not None and self._clock.now() - since >= PERSISTED_SECONDS)

    async def admit(self) -> bool:
        """Wait until the breaker closes, or until it is this caller's turn to probe.

        Returns:
            Whether the caller probes; it must call `release_probe` afterwards.
        """
        while self.open:
            if self._probe_lock.locked():
                await self._closed.wait()
                continue
            await self._probe_lock.acquire()
            try:
                if self.open:
                    await self._clock.sleep(max(0.0, self._next_probe_at - self._clock.now()))
                    self._probes += 1
                    # From the start of the probe: one that takes longer than the interval is followed at once.
                    self._next_probe_at = self._clock.now() + self._probe_interval()
                    return True
            except BaseException:
                self._probe_lock.release()
                raise
            self._probe_lock.release()
        return False

    def _probe_interval(self) -> float:
        """Return the seconds from one probe to the next: they grow by half each time, up to the ceiling."""
        return min(MAX_PROBE_SECONDS, FIRST_PROBE_SECONDS * 1.5 ** min(self._probes, 30))

    def release_probe(self) -> None:
        """End a probe: if the breaker is still open, another caller probes next."""
        self._probe_lock.release()
        if self.open:
            # The others wait for the event and not for the lock. Setting and clearing it wakes them all: the first
            # one takes the lock, and the others see it taken and wait again.
            self._closed.set()
            self._closed.clear()

    def on_reply(self, *, suspect: bool) -> None:
        """Record a reply, and close the breaker.

        Args:
            suspect: As for `on_failure`.
        """
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
            self._probes = 0
            self._window.clear()  # or the outage's failures would open it again at the next one
            self._closed.set()

    def on_failure(self, failure: Failure, *, suspect: bool, first: bool = True) -> PipelineError | None:
        """Record a failure, open the breaker if it is an outage, and return the error that must end the run, if any.

        Args:
            failure: What went wrong.
            suspect: Whether the same row was garbled or denied before.
            first: Whether it was the row's first call.
        """
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
        return self._fatal(failure) or self._outage_too_long(failure)

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

    def _outage_too_long(self, failure: Failure) -> PipelineError | None:
        limit, since = self._max_outage, self._failing_since
        if failure.retry_after is not None and failure.retry_after > limit:
            return ProviderUnavailableError(
                f"the endpoint asks to wait {failure.retry_after:.0f} s, longer than limits.max_outage ({limit:g} s): "
                f"{failure.message}; run again after that to continue"
            )
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
            self._closed.clear()
            self._next_probe_at = self._clock.now() + self._probe_interval()
            log.warning(
                "the endpoint is away: %s; waiting for it, for at most %g s (limits.max_outage)",
                failure.message, self._max_outage,
            )  # fmt: skip

    def is_about_row(self, failure: Failure, *, suspect: bool) -> bool:
        """Return whether a failure of the run-wide kinds is about the row's text."""
        # Gateways answer 403, 404 or a redirect to texts that they dislike; key, model and path have brought replies.
        if failure.kind in {FailureKind.QUOTA, FailureKind.UNTRUSTED} or failure.status == UNAUTHORIZED:
            return False
        return suspect and self.succeeded
