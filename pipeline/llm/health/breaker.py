"""How the endpoint is doing: is it there, is it well, and how long does it take."""

import asyncio
import logging

from pipeline.errors import ConfigError, KeyRefusedError, PipelineError, ProviderUnavailableError
from pipeline.llm.health.window import SlidingWindow
from pipeline.llm.replies import Failure, FailureKind
from pipeline.system.clock import Clock

log = logging.getLogger(__name__)

WINDOW_SECONDS = 10
OPEN_SHARE = 0.9
OPEN_SAMPLES = 20
OPEN_SILENCES = 10
PROBE_FIRST = 5.0
PROBE_CEILING = 30.0
CONFIRMATIONS = 3
FORBIDDEN = 403
FIRST_REQUESTS = 20
SHARE_WEIGHT = 0.02
"""Weight of one call in the moving shares of failed and of garbled ones: they look back over about 50."""

ALONE_SHARE = 0.5
"""Share of `max_outage` after which the rows that are left may be to blame: half of 30 min, and no outage is shorter."""

OUTAGE_KINDS = frozenset({FailureKind.TRANSIENT, FailureKind.UNREACHABLE, FailureKind.GARBLED})

REFUSALS = frozenset({FailureKind.ROW, FailureKind.DENIED, FailureKind.UNTRUSTED})
"""Whoever refuses is there."""


class CircuitBreaker:
    """A circuit breaker, and what the run must know of the endpoint's condition.

    The breaker opens when at least 90 % of at least 20 calls within 10 s failed, or 10 in a row found nobody
    there: no connection, or no reply in time. Then one call every 5 to 30 s probes, and the first reply closes
    it again.
    """

    def __init__(self, clock: Clock, max_outage_seconds: float) -> None:
        self._clock = clock
        self._max_outage = max_outage_seconds
        self._recent = SlidingWindow(WINDOW_SECONDS, clock)
        self._silences = 0
        self._denials = 0
        self._first: list[bool] = []
        self._failing_since: float | None = None
        self._probes, self._probe_at = 0, 0.0
        self._probing = asyncio.Lock()
        self._closed = asyncio.Event()
        self._closed.set()
        self.failed_share = self.garbled_share = 0.0
        self.succeeded = False

    @property
    def open(self) -> bool:
        """Whether the breaker is open: the endpoint counts as gone."""
        return not self._closed.is_set()

    @property
    def others_succeed(self) -> bool:
        """Whether calls got replies lately, so that a failure tells something about its row."""
        return self._recent.replies > 0

    @property
    def alone(self) -> bool:
        """Whether a few rows fail for long and there are no others to compare them with.

        Many would have opened the breaker; whether the endpoint is away cannot be told from their failures.
        """
        since = self._failing_since
        lasts = 0.0 if since is None else self._clock.now() - since
        return not (self.open or self.others_succeed) and lasts > ALONE_SHARE * self._max_outage

    async def admit(self) -> bool:
        """Return at once while the endpoint is well; else wait for it, or for the turn to probe.

        Returns:
            True for the one that probes: it must call `release_probe` afterwards.
        """
        while self.open:
            if self._probing.locked():
                await self._closed.wait()
                continue
            await self._probing.acquire()
            try:
                if self.open:
                    await self._clock.sleep(max(0.0, self._probe_at - self._clock.now()))
                    self._probes += 1
                    self._probe_at = self._clock.now() + self._pause()
                    return True
            except BaseException:
                self._probing.release()
                raise
            self._probing.release()
        return False

    def _pause(self) -> float:
        """Return the seconds from one probe to the next; a probe that takes longer is followed at once."""
        return min(PROBE_CEILING, PROBE_FIRST * 1.5 ** min(self._probes, 30))

    def release_probe(self) -> None:
        """Let the next one probe, if the endpoint is still gone; wake those who wait, if it is back."""
        self._probing.release()
        if self.open:  # somebody has to take the turn over from those who sleep on the event
            self._closed.set()
            self._closed.clear()

    def on_reply(self, *, again: bool) -> None:
        """Note a reply; *again* as for `on_failure`."""
        self._recent.count(replied=True)
        self._silences = 0
        self._denials = 0
        since, self._failing_since = self._failing_since, None
        self.succeeded = True
        self.failed_share *= 1 - SHARE_WEIGHT
        if not again:
            self.garbled_share *= 1 - SHARE_WEIGHT
        if len(self._first) < FIRST_REQUESTS:
            self._first.append(True)
        if self.open:
            log.warning("the endpoint is back after %.0f s", self._clock.now() - (since or self._clock.now()))
            self._probes = 0
            self._recent.clear()
            self._closed.set()

    def on_failure(self, failure: Failure, *, again: bool, first: bool = True) -> PipelineError | None:
        """Note a failure; returns the error that must end the run, if it comes to that.

        Args:
            failure: What went wrong.
            again: Whether the same row was garbled or denied before: then it says more about the row than about
                the endpoint.
            first: Whether it was the row's first call; one row that takes too long again and again is no outage.
        """
        if failure.kind in OUTAGE_KINDS:
            self.failed_share += SHARE_WEIGHT * (1 - self.failed_share)
            self._outage(failure, first=first)
        if failure.kind is FailureKind.GARBLED and not again:
            self.garbled_share += SHARE_WEIGHT * (1 - self.garbled_share)
        if failure.kind in REFUSALS:
            self._failing_since = None
        elif self._failing_since is None:
            self._failing_since = self._clock.now()
        return self._fatal(failure, again=again) or self._away_for_too_long(failure)

    def _fatal(self, failure: Failure, *, again: bool) -> PipelineError | None:
        match failure.kind:
            case FailureKind.QUOTA:
                return KeyRefusedError(
                    f"the account has no credit or quota left: {failure.message}; top it up and run again"
                )
            case FailureKind.CONFIG:
                return ConfigError(
                    f"{failure.message}; set model.name or model.base_url to what the endpoint has"
                )
            case FailureKind.DENIED | FailureKind.UNTRUSTED:
                return None if self.is_of_row(failure, again=again) else self._denied(failure)
            case FailureKind.ROW:
                return self._refused_row(failure)
        return None

    def _away_for_too_long(self, failure: Failure) -> PipelineError | None:
        most, since = self._max_outage, self._failing_since
        if failure.retry_after is not None and failure.retry_after > most:
            return ProviderUnavailableError(
                f"the endpoint asks to wait {failure.retry_after:.0f} s, longer than limits.max_outage ({most:g} s): "
                f"{failure.message}; run again after that to continue"
            )
        if since is not None and self._clock.now() - since > most:
            return ProviderUnavailableError(
                f"the endpoint gave no reply for {most:g} s (limits.max_outage), at last: "
                f"{failure.message}; run again to continue"
            )
        return None

    def _outage(self, failure: Failure, *, first: bool) -> None:
        self._recent.count(replied=False)
        if failure.kind is FailureKind.UNREACHABLE or failure.timed_out:
            self._silences += first or not failure.timed_out
        else:
            self._silences = 0
        replies, failures = self._recent.replies, self._recent.failures
        enough = replies + failures >= OPEN_SAMPLES and failures >= OPEN_SHARE * (replies + failures)
        if (enough or self._silences >= OPEN_SILENCES) and not self.open:
            self._closed.clear()
            self._probe_at = self._clock.now() + self._pause()
            log.warning(
                "the endpoint is away: %s; waiting for it, for at most %g s (limits.max_outage)",
                failure.message, self._max_outage,
            )  # fmt: skip

    def is_of_row(self, failure: Failure, *, again: bool) -> bool:
        """Whether a denial that came *again* is about the row's text: gateways answer 403 to what they dislike."""
        return failure.status == FORBIDDEN and again and self.succeeded

    def _denied(self, failure: Failure) -> PipelineError | None:
        """One refusal can be a gateway's blip; three with no reply in between are not, however slow they come."""
        self._denials += 1
        if self._denials < CONFIRMATIONS:
            return None
        if failure.kind is FailureKind.UNTRUSTED:
            return ConfigError(f"{failure.message}; check model.base_url")
        return KeyRefusedError(
            f"the endpoint refuses the key: {failure.message}; check the key and its rights"
        )

    def _refused_row(self, failure: Failure) -> PipelineError | None:
        if len(self._first) < FIRST_REQUESTS:
            self._first.append(False)
            if len(self._first) == FIRST_REQUESTS and sum(self._first) < (1 - OPEN_SHARE) * FIRST_REQUESTS:
                return ConfigError(
                    f"the endpoint refused nearly all of the first {FIRST_REQUESTS} requests, at last: {failure.message}; "
                    "check model and task with `probe`"
                )
        return None
