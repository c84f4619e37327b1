"""Trials of another load for a moment, to see whether noise is noise. Noise gets no rarer or more with the load.

A dip is a lower level. Where little is sent, and much of that refused, a surge is far more for once.
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

JUDGED, MANY = 20, 6
"""Of so many requests, so many refused are many: if a limit were known, they would be few, though a few may come together."""

SURGE = 8
"""Requests of a surge, besides those that it takes to have as many in flight."""

HEIGHT, LEAST_HEIGHT = 4.0, 2.0
"""How high a surge is: so many times the level, and so many in flight at least."""

SURGE_REPLIES, LEAST_SURGE_SECONDS, MOST_SURGE_SECONDS = 100.0, 1.0, 10.0
"""From the first refusal to the first surge: times that a reply takes, and seconds; the time doubles with each that
brought nothing."""

FRUITFUL = 2.0
"""A surge has brought something if the level stands so many times as high when the next might come."""

FAR = 1000.0
"""Times the level that are as likely as not to be borne, from which there is a surge, too."""

DOUBT_SECONDS = 5.0
"""From one such surge to the next."""


class Breaks:
    """The breaks below one request in flight."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began_at = 0.0

    def start(self) -> None:
        """Record the first refusal."""
        self._began_at = self._clock.now()

    def seconds(self, level: float, reply_seconds: float) -> float:
        """Return the seconds from one request to the next at a *level* below one in flight."""
        least = max(FIRST_BREAK_SECONDS, BREAK_REPLIES * reply_seconds)
        later = min(MAX_BREAK_SECONDS, BREAK_SHARE * (self._clock.now() - self._began_at))
        return min(reply_seconds / level, max(least, later))


class Surges:
    """Plans surges, and says how high the level is during one.

    Attributes:
        level: The lowest level that is allowed now; 0 between surges.
    """

    def __init__(self, clock: Clock) -> None:
        self.level = 0.0
        self._clock = clock
        self._recent: deque[bool] = deque(maxlen=JUDGED)  # whether they were refused
        self._left = self._surges = 0
        self._since: float | None = None  # the last one, or the first refusal
        self._from = float("inf")  # the level before the last one
        self._doubted_at = float("-inf")

    def on_sent(self) -> None:
        """Record that a request is sent."""
        self._left -= 1
        if self._left <= 0:
            self.level = 0.0

    def on_outcome(self, *, refused: bool) -> None:
        """Record whether a request was refused."""
        self._recent.append(refused)

    def plan(self, level: float, bearable: float, reply_seconds: float) -> None:
        """Begin a surge from *level* if many are refused there, or far more is *bearable*, as likely as not."""
        now = self._clock.now()
        self._since = now if self._since is None else self._since
        if self.level or level > LEAST_LEVEL:
            return
        interval = min(MOST_SURGE_SECONDS, max(LEAST_SURGE_SECONDS, SURGE_REPLIES * reply_seconds))
        if level >= FRUITFUL * self._from and now >= self._since + interval:
            self._surges = 0
        if sum(self._recent) >= MANY and now >= self._since + interval * 2.0**self._surges:
            self._since, self._surges, self._from = now, self._surges + 1, level
        elif bearable >= FAR * level and now >= self._doubted_at + DOUBT_SECONDS:
            self._doubted_at = now
        else:
            return
        self._recent.clear()
        self.level = max(LEAST_HEIGHT, HEIGHT * level)
        self._left = SURGE + int(self.level)


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
            # For the first, there has to be something to compare with.
            and evidence.sent >= _enough(noise)
        ):
            self._since, self._sent_before, self._noise_before = now, evidence.sent, noise
            served = SERVED_DEPTH * evidence.served(now)
            if level >= ONE_AT_A_TIME:
                # After a storm, nothing was served lately.
                self.level = max(1.0, min(DEPTH * level, served if served > 1 else DEPTH * level))
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
        self.level = float("inf")
        confirmed = noise > CONFIRMED * self._noise_before
        self._interval = min(MOST_INTERVAL, 2 * self._interval) if confirmed else FIRST_INTERVAL
        self._next_at = now + max(self._interval, REPLIES_BETWEEN * reply)


def _enough(noise: float) -> float:
    """Return the requests that show how much *noise* there is."""
    return max(LEAST_REQUESTS, min(MOST_REQUESTS, REFUSALS / noise))
