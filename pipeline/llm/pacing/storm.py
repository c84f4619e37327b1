"""Storms: times in which the endpoint refuses everything, so that nothing is sent but one request now and then."""

from collections import deque

from pipeline.system.clock import Clock

FIRST_SECONDS, LATER_SECONDS, MAX_SECONDS = 0.5, 6.0, 30.0
"""The first pause, to which later ones double; and once a storm lasts, a tenth of its length, up to the last."""

CLOSE, MOST_CLOSE = 5, 40
"""Refusals so close together in the order of sending that they are suspected to be a storm's; more where much is refused
anyway, up to the second number."""

NOISY = 0.06
"""Share that is refused anyway from which two more are wanted."""

CLOSE_SHARE, STORM_SHARE = 0.625, 0.85
"""Share refused that is close together, and of all that were sent since then, from which it is a storm; each of what is
not refused anyway."""

HOLD, MAX_HOLD_SECONDS = 3.0, 1.0
"""How long everybody waits for what becomes of the others, in times that a refusal takes, and at most."""

JITTER = 0.1
"""Added to a told wait, as a share of it, so that not all clients come back at the same moment."""


class Storm:
    """Watches for storms, and says when to send during one.

    Attributes:
        until: Nothing is sent before this moment on the clock.
        raging: Whether there is a storm: one request at a time is sent, to see whether it is over.
    """

    def __init__(self, clock: Clock) -> None:
        self.until = float("-inf")
        self.raging = False
        self._clock = clock
        self._recent: deque[tuple[int, float]] = deque(
            maxlen=2 * MOST_CLOSE
        )  # refused, and what they were told
        self._suspected: range | None = None  # requests that are suspected to have met it, up to the hold
        self._refused = 0  # of those since then
        self._noise = 0.0  # that was known of then
        self._judged_at = self._since = 0.0
        self._told = 0.0
        self._pauses = 0
        self._first_probe = 0
        self._probing = False

    @property
    def calm(self) -> bool:
        """Whether there is neither a storm nor a suspicion of one."""
        return not self.raging and self._suspected is None

    @property
    def brief(self) -> bool:
        """Whether the last storm was over at its first probe: more was sent than is borne, as likely as not."""
        return self._pauses <= 1

    def on_refusal(self, number: int, sent: int, refusal_seconds: float, noise: float, told: float) -> None:
        """Record that the request *number* of *sent* was refused.

        Args:
            number: How many were sent before it.
            sent: How many were sent so far.
            refusal_seconds: How long a refusal takes.
            noise: The share that is refused anyway.
            told: Seconds that the endpoint asks to wait; 0 if it asks for nothing.
        """
        if self.raging:
            self._told = max(self._told, told)
            if number >= self._first_probe:
                self._pause(sent)
            return
        self._recent.append((number, told))
        if self._suspected is not None:
            self._told = max(self._told, told)
            self._refused += number in self._suspected
            return
        close = min(MOST_CLOSE, int((CLOSE if noise < NOISY else CLOSE + 2) / (1 - noise)))
        last = sorted(self._recent)[-close:]
        first = last[0][0]
        if len(last) == close and last[-1][0] - first < close / _share(CLOSE_SHARE, noise):
            # Until it is known what becomes of the others that were sent meanwhile.
            self._suspected, self._refused, self._noise = range(first, sent), close, noise
            self._told = max(
                told for _, told in last
            )  # what others were told, long ago, concerned them alone
            self._judged_at = self._clock.now() + min(MAX_HOLD_SECONDS, HOLD * refusal_seconds)
            self.until = max(self.until, self._judged_at)

    def judge(self, sent: int) -> bool:
        """Decide whether a suspicion was right, once that is known; return whether a storm has begun."""
        if self._suspected is None or self._clock.now() < self._judged_at:
            return False
        # Nothing is known yet of what was sent after the hold.
        suspected, self._suspected = len(self._suspected), None
        self._recent.clear()
        if self._refused < _share(STORM_SHARE, self._noise) * suspected:
            self._told = 0.0
            return False
        self._since, self._pauses, self.raging = self._clock.now(), 0, True
        self._pause(sent)
        return True

    def on_reply(self, number: int) -> bool:
        """Return whether the reply to request *number* ends a storm."""
        if not self.raging or number < self._first_probe:
            return False
        self.raging = False
        self._told = 0.0
        return True

    def try_probe(self) -> bool:
        """Return whether the caller may send the one request that shows whether the storm is over."""
        if self._probing:
            return False
        self._probing = True
        return True

    def on_other(self, number: int) -> None:
        """Record that the request *number* ended in a way that does not show whether the storm is over."""
        if number >= self._first_probe:
            self._probing = False

    def _pause(self, sent: int) -> None:
        self._probing = False
        self._pauses += 1
        self._first_probe = sent
        now, random = self._clock.now(), self._clock.random
        most = min(MAX_SECONDS, max(LATER_SECONDS, (now - self._since) / 10))
        own = (0.8 + 0.2 * random()) * min(most, FIRST_SECONDS * 2.0 ** (self._pauses - 1))
        self.until = now + max(own, self._told * (1 + JITTER * random()))
        self._told = 0.0


def _share(share: float, noise: float) -> float:
    """Return the share refused where that *share* is of what is left by the *noise*."""
    return noise + (1 - noise) * share
