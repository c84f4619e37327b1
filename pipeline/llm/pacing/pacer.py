"""Whose turn it is: what a request waits for before it is sent."""

import logging

from pipeline.config import LimitSettings
from pipeline.llm.pacing.concurrency import Concurrency
from pipeline.llm.pacing.quota import TOKENS_CATCH_UP_SECONDS, Pause, Quota
from pipeline.llm.replies import Window
from pipeline.system.clock import Clock

log = logging.getLogger(__name__)

TOLD_SECONDS = 30.0
"""A longer pause is told, so that nobody takes it for a standstill."""


class Pacer:
    """The quotas a minute, the pauses that the endpoint asks for, and the breaks that it needs."""

    def __init__(self, limits: LimitSettings, concurrency: Concurrency, clock: Clock) -> None:
        self._requests = Quota(limits.requests_per_minute) if limits.requests_per_minute else None
        tokens = limits.tokens_per_minute
        self._tokens = Quota(tokens, TOKENS_CATCH_UP_SECONDS) if tokens else None
        self._rates = limits.requests_per_minute, limits.tokens_per_minute
        self._concurrency = concurrency
        self._pause = Pause(clock)

    def try_admit(self, tokens: float) -> bool:
        """Whether a request that counts as so many *tokens* may go out at once; its quota is taken then."""
        if self._pause.left > 0 or self._concurrency.paces:
            return False
        for quota, amount in ((self._requests, 1), (self._tokens, tokens)):
            if quota is not None and not quota.holds(amount):
                return False
        for quota, amount in ((self._requests, 1), (self._tokens, tokens)):
            if quota is not None:
                quota.use(amount)
        return True

    async def admit(self, tokens: float) -> None:
        """Wait until a request may go out that counts as so many *tokens*."""
        await self._pause.wait()
        if self._requests is not None:
            await self._requests.take(1)
        if self._tokens is not None:
            await self._tokens.take(tokens)
        await self._concurrency.pace()
        await self._pause.wait()

    def wait_seconds(self, window: Window) -> float:
        """Return how long nobody should send, by what a reply tells of the endpoint's limits."""
        return window.wait_seconds(*self._rates)

    def pause(self, seconds: float, reason: str) -> None:
        """Have nobody send for *seconds* from now."""
        left = self._pause.left
        self._pause.extend(seconds)
        if seconds >= TOLD_SECONDS > left:
            log.warning("nothing is sent for %.0f s, as the endpoint asks: %s", seconds, reason)
