"""Admission: what a request waits for before it is sent."""

import logging

from pipeline.config import LimitSettings
from pipeline.llm.pacing.concurrency import Concurrency
from pipeline.llm.pacing.evidence import Departure
from pipeline.llm.pacing.quota import TOKENS_CATCH_UP_SECONDS, Pause, Quota
from pipeline.llm.pacing.shared.named import state_named
from pipeline.llm.pacing.shared.quota import REQUESTS, TOKENS, SharedPause, SharedQuota, State
from pipeline.llm.replies import Failure, Reply, Window
from pipeline.system.clock import Clock

log = logging.getLogger(__name__)

WARN_SECONDS = 30.0
"""A pause at least this long is logged, or the run would seem to hang."""


class Pacer:
    """Admits requests at the pace that the quotas, the endpoint's pauses and the concurrency allow."""

    def __init__(self, limits: LimitSettings, concurrency: Concurrency, clock: Clock) -> None:
        self._clock = clock
        self._rates: tuple[float | None, float | None] = limits.requests_per_minute, limits.tokens_per_minute
        self._requests: Quota | SharedQuota | None = None
        self._tokens: Quota | SharedQuota | None = None
        self._pause = Pause(clock)
        self._shared: State | None = None
        if limits.shared is None:
            requests, tokens = self._rates
            self._requests = Quota(requests) if requests else None
            self._tokens = Quota(tokens, TOKENS_CATCH_UP_SECONDS) if tokens else None
        else:
            self._share(limits.shared)
        self._longest = limits.max_outage
        self._concurrency = concurrency
        self._warned_until = float("-inf")
        self._in_storm, self._words = False, ""

    def _share(self, name: str) -> None:
        """Take both quotas from what all processes with the same `limits.shared` may use together."""
        state = state_named(name)
        self._shared, (requests, tokens) = state, self._rates
        self._requests = SharedQuota(state, REQUESTS, requests)
        self._tokens = SharedQuota(state, TOKENS, tokens)
        self._pause = SharedPause(state, self._clock)

    async def close(self) -> None:
        """Let go of what is shared with other processes; nothing is admitted after that."""
        if self._shared is not None:
            await self._shared.close()

    @property
    def counts_tokens(self) -> bool:
        """Whether there is a rate of tokens now, so that a request's must be estimated."""
        return self._tokens is not None and self._tokens.counts

    def try_admit(self, tokens: float) -> bool:
        """Admit a request of *tokens* if nothing makes it wait; takes its quota."""
        if self._pause.seconds_left > 0 or self._concurrency.paces:
            return False
        # All are asked before any is used: a request that has to wait must not have taken one quota of two.
        for quota, amount in ((self._requests, 1), (self._tokens, tokens)):
            if quota is not None and not quota.holds(amount):
                return False
        for quota, amount in ((self._requests, 1), (self._tokens, tokens)):
            if quota is not None:
                quota.use(amount)
        return True

    async def admit(self, tokens: float) -> None:
        """Wait until a request of *tokens* may be sent; takes its quota."""
        # Before the quota is taken, or what is taken during the pause would all be sent together at its end.
        await self._pause.wait()
        if self._requests is not None:
            await self._requests.take(1)
        if self._tokens is not None:
            await self._tokens.take(tokens)
        await self._concurrency.pace()
        await self._pause.wait()  # the endpoint may have asked for one while this request waited

    def record(
        self, departure: Departure, outcome: Reply | Failure | None, window: Window | None, *, available: bool
    ) -> None:
        """Record what became of a request, and adapt the pace to it.

        Args:
            departure: What `Concurrency.on_sent` returned.
            outcome: How it ended; None if it was given up.
            window: The rate-limit window in its headers, if any.
            available: Whether the endpoint counts as available; an outage is no sign of load.
        """
        if isinstance(outcome, Reply):
            self._concurrency.on_reply(departure)
        elif outcome is not None and outcome.may_mean_load and available:
            told = outcome.retry_after or 0.0
            # Longer than a run may wait: its row is postponed, and the others find out whether it concerns them.
            self._concurrency.on_refusal(departure, told if told <= self._longest else 0.0)
            self._words = outcome.message
            self._warn(self._concurrency.level.storm.until - self._clock.now(), outcome.message)
        else:
            self._concurrency.on_other(departure)
        self._tell_storm()
        wait = window.wait_seconds(*self._rates) if window is not None else 0.0
        if wait > 0:
            self._warn(wait, "no more requests or tokens are left in this minute")
            self._pause.extend(wait)
            if available and departure.in_flight > 1:
                self._concurrency.on_told(departure)

    @property
    def pause_left(self) -> float:
        """Seconds until the endpoint's window has room again; 0 or less if it has."""
        return self._pause.seconds_left

    def _tell_storm(self) -> None:
        """Say that a storm has begun or ended, or the run would seem to hang."""
        raging = self._concurrency.level.storm.raging
        if raging is self._in_storm:
            return
        self._in_storm = raging
        if raging:
            log.warning(
                "the endpoint refuses everything: %s; one request at a time shows when that is over",
                self._words,
            )
        else:
            log.warning("the endpoint takes requests again")

    def _warn(self, seconds: float, reason: str) -> None:
        until = self._clock.now() + seconds
        if seconds >= WARN_SECONDS and until > self._warned_until:  # what is only extended was logged already
            log.warning("nothing is sent for %.0f s, as the endpoint asks: %s", seconds, reason)
            self._warned_until = until + WARN_SECONDS
