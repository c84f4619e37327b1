"""The time that a call may take."""


class AdaptiveTimeout:
    """A timeout for each call: *fixed_seconds*, or learned from the latencies of replies.

    Learned, it is 3 times what nearly all calls take, between 30 and 300 s; from few replies, 10 times the slowest, from 60 s on.

    Attributes:
        seconds: How long a call may take.
    """

    FLOOR = 30.0
    CEILING = 300.0
    FACTOR = 3.0  # generous, because a call that is given up has probably been billed
    BATCH = 1000
    FEW, WIDE_FACTOR, WIDE_FLOOR = 20, 10.0, 60.0  # wide, because latencies grow with the number in flight

    def __init__(self, fixed_seconds: float | None) -> None:
        self.seconds = fixed_seconds or self.CEILING
        self._fixed, self._learned = fixed_seconds is not None, False
        self._slowest = self._slowest_ever = 0.0
        self._count = 0

    @property
    def probe_seconds(self) -> float:
        """How long a probe may take: no longer than needed, because all other calls wait for it."""
        known = self.FACTOR * self._slowest_ever
        return min(self.seconds, max(self.FLOOR, known)) if known else self.seconds

    def learn(self, seconds: float) -> None:
        """Record a reply's latency."""
        self._slowest = max(self._slowest, seconds)
        self._slowest_ever = max(self._slowest_ever, seconds)
        self._count += 1
        if not (self._learned or self._fixed) and self._count >= self.FEW:
            self.seconds = min(self.CEILING, max(self.WIDE_FLOOR, self.WIDE_FACTOR * self._slowest))
        # The slowest of each 1,000 is about the 99.9th percentile, and needs no list of latencies.
        if self._count == self.BATCH:
            self._learned = True
            if not self._fixed:
                self.seconds = min(self.CEILING, max(self.FLOOR, round(self.FACTOR * self._slowest)))
            self._slowest, self._count = 0.0, 0
