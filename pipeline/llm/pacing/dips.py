"""Trials of another load for a moment, to see whether noise is noise. Noise gets no rarer or more with the load.

A dip is a lower level. Where next to nothing is sent, and much of that refused, a surge is more for once.
"""

from collections import deque

from pipeline.llm.pacing.evidence import Evidence
from pipeline.system.clock import Clock

LEAST_NOISE = 0.004
"""Share of noise from which it has to prove itself."""

LEAST_LEVEL, ONE_AT_A_TIME = 4.0, 0.9
"""Between these there is no room for a dip; where one is sent at a time, longer breaks are one."""

DEPTH, SERVED_DEPTH = 0.75, 0.8
"""How low a dip is: that part of the level, and of what the replies account for."""

DENSE_SECONDS = 0.1
"""From one request to the next, at most, for what is served to be known below one in flight."""

REFUSALS, LEAST_REQUESTS, MOST_REQUESTS = 8, 20, 200
"""A dip lasts until so many refusals are expected of noise, within so few and so many requests."""

MOST_SECONDS, MOST_SECONDS_OF_FEW = 1.5, 20.0
"""How long it lasts at most, or as long as a reply takes; and where one is sent now and then."""

CONFIRMED = 0.7
"""Part of the noise that must be left after the dip, or it was none."""

FIRST_INTERVAL, MOST_INTERVAL = 1.0, 15.0
"""Seconds between dips: the interval doubles with each that confirms the noise."""

REPLIES_BETWEEN = 10.0
"""Times that a reply takes, that lie between two dips at least."""

FIRST_BREAK_SECONDS, BREAK_REPLIES, BREAK_SHARE, MAX_BREAK_SECONDS = 2.0, 4.0, 0.1, 30.0
"""Below one in flight, the longest time between two requests: at first so many seconds or replies' time, later a share of
the time since the first refusal, up to the last. Else nothing would be learnt where nearly everything is refused."""

JUDGED, MANY = 10, 3
"""Of so many requests below one in flight, so many refused are many: if a limit were known, they would be few."""

SURGE = 5
"""Requests of a surge, one after the other without breaks."""

FIRST_SURGE_SECONDS = 10.0
"""From the first refusal to the first surge; the time doubles with each."""

DOUBT_SECONDS = 5.0
"""From one surge for a doubt to the next."""


class Breaks:
    """The breaks below one request in flight, and surges without any.

    Attributes:
        doubting: Whether there is a surge because far more may well be borne.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began_at = 0.0
        self._recent: deque[bool] = deque(maxlen=JUDGED)  # whether they were refused
        self._left = 0  # of a surge
        self._surges_at, self._interval = 0.0, FIRST_SURGE_SECONDS
        self.doubting, self._doubted_at = False, float("-inf")

    def start(self) -> None:
        """Record the first refusal."""
        self._began_at = self._clock.now()
        self._surges_at = self._began_at + self._interval

    def seconds(self, level: float, reply_seconds: float) -> float:
        """Return the seconds from one request to the next at a *level* below one in flight."""
        if self._left:
            return 0.0
        least = max(FIRST_BREAK_SECONDS, BREAK_REPLIES * reply_seconds)
        later = min(MAX_BREAK_SECONDS, BREAK_SHARE * (self._clock.now() - self._began_at))
        return min(reply_seconds / level, max(least, later))

    def on_sent(self, level: float) -> None:
        """Record that a request is sent."""
        self._left = max(0, self._left - 1) if level <= 1 else 0
        self.doubting = self.doubting and self._left > 0

    def doubt(self) -> None:
        """Begin a surge, unless the last one for a doubt is not long ago."""
        if self._clock.now() >= self._doubted_at + DOUBT_SECONDS:
            self._left, self.doubting, self._doubted_at = SURGE, True, self._clock.now()

    def on_outcome(self, load: float, *, refused: bool) -> None:
        """Record whether a request that was sent at a *load* was refused; too many begin a surge."""
        if load >= ONE_AT_A_TIME:
            return
        self._recent.append(refused)
        now = self._clock.now()
        if len(self._recent) == JUDGED and sum(self._recent) >= MANY and now >= self._surges_at:
            self._recent.clear()
            self._left, self._interval = SURGE, 2 * self._interval
            self._surges_at = now + self._interval


class Dips:
    """Plans dips, and says how low the level is during one.

    Attributes:
        level: The highest level that is allowed now; infinite between dips.
    """

    def __init__(self, clock: Clock) -> None:
        self.level = float("inf")
        self._clock = clock
        self._since = 0.0
        self._sent_before = 0
        self._noise_before = 1.0
        self._next_at, self._interval = float("-inf"), FIRST_INTERVAL

    def plan(self, noise: float, level: float, evidence: Evidence) -> None:
        """Begin a dip from *level* if the *noise* has to prove itself, or end one that has shown enough."""
        now = self._clock.now()
        if self.level < float("inf"):
            self._end_if_enough(noise, now, evidence)
        elif (
            now >= self._next_at
            and (level > LEAST_LEVEL or level < ONE_AT_A_TIME)
            and noise > LEAST_NOISE
            # There has to be something to compare with.
            and evidence.sent - self._sent_before >= _enough(noise)
        ):
            self._since, self._sent_before, self._noise_before = now, evidence.sent, noise
            served = SERVED_DEPTH * evidence.served(now)
            if level >= ONE_AT_A_TIME:
                self.level = max(1.0, min(DEPTH * level, served))
            else:
                # Where requests are rarer, nothing may have been served lately.
                dense = (evidence.reply_seconds or 1.0) < DENSE_SECONDS * level
                self.level = min(DEPTH * level, served) if dense else DEPTH * level

    def _end_if_enough(self, noise: float, now: float, evidence: Evidence) -> None:
        reply = evidence.reply_seconds or 0.0
        wanted = _enough(self._noise_before)
        longest = max(reply, MOST_SECONDS if self.level > ONE_AT_A_TIME else MOST_SECONDS_OF_FEW)
        if evidence.sent - self._sent_before < wanted and now - self._since <= longest:
            return
        self.level, self._sent_before = float("inf"), evidence.sent
        confirmed = noise > CONFIRMED * self._noise_before
        self._interval = min(MOST_INTERVAL, 2 * self._interval) if confirmed else FIRST_INTERVAL
        self._next_at = now + max(self._interval, REPLIES_BETWEEN * reply)


def _enough(noise: float) -> float:
    """Return the requests that show how much *noise* there is."""
    return max(LEAST_REQUESTS, min(MOST_REQUESTS, REFUSALS / noise))
