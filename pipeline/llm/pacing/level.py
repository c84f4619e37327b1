"""The level: how many requests may be in flight, found by trial."""

from math import ceil

from pipeline.llm.pacing.belief import LOWEST, LimitBelief
from pipeline.llm.pacing.dips import ONE_AT_A_TIME, Breaks, Dips, Surges
from pipeline.llm.pacing.evidence import Departure, Evidence
from pipeline.llm.pacing.storm import Storm
from pipeline.llm.pacing.throughput import Growth, ThroughputTable
from pipeline.system.clock import Clock

TICK_SECONDS = 0.1
"""How often what was sent is counted, and the level decided anew."""

JUDGED_SECONDS = 0.02
"""Refusals are judged at once, but not more often: a judgement takes a millisecond or two."""

INCOME, NOISE_INCOME, MOST_NOISE_INCOME, SLOW_INCOME = 0.004, 0.15, 0.06, 0.001
"""Refusals that may be risked to find out more: so many for each request sent,
more by the share of noise, and so many a second."""

LEAST_REFUSALS, FIRST_REFUSALS, MOST_REFUSALS = -2.0, 8.0, 12.0
"""Bounds of what is saved up of these, and what is there at first."""

SERVED_SHARE = 0.75
"""Of what the replies of the last moment account for, which is never too much."""

CAUTION = 2.0
"""The part of these that one decision may risk is one in so many."""

LEAST_RISK, MOST_RISK = 0.002, 0.5
"""Bounds of the share that may be refused for a limit, as is expected."""

RISKED_SECONDLY = 0.01
"""Refusals a second that may be risked in any case: where little is sent, time is what costs."""

NOISE_RISK = 0.05
"""The part of the noise that may be risked in any case: where half is refused anyway, a little more costs nothing."""

REPLY_SHARE = 0.8
"""Of the time that a reply takes, over which requests are spread; over all of it, they would never fill the level."""

LAG = 1.25
"""The time that a reply takes on average may be that many times what it took of late."""

HELD_SECONDS, HELD_GROWTH = 4.0, 1.35
"""Without growth, after more in flight brought nothing; and how much more is tried then."""


class Level:
    """An adaptive number of requests in flight, up to *maximum*; docs/pacing.md explains how it is found.

    Until the first refusal it doubles while more in flight bring more replies. After that it is the highest at which
    the belief about the endpoint's limit expects few refusals.

    Attributes:
        value: The number of requests that may be in flight; below 1, one at a time with breaks between.
        storm: Whether the endpoint refuses everything.
        evidence: What became of the requests.
    """

    def __init__(self, maximum: int, clock: Clock) -> None:
        # One request first: it also warms the endpoint up, where a new JSON schema makes the first call slow.
        self.value = 1.0
        self.storm = Storm(clock)
        self.evidence = Evidence()
        self._maximum = maximum
        self._clock = clock
        self._belief: LimitBelief | None = None  # None until the first refusal
        self._judged_at = float("-inf")
        self._blamed = 0.0
        self._throughput = ThroughputTable(clock)
        self._growth = Growth(maximum, clock)
        self._full_at = self._held_until = float("-inf")
        self._bearable = float("inf")
        self._ticked_at: float | None = None
        self._sent_at_tick = self._refused_since_tick = 0
        self._allowance = FIRST_REFUSALS
        self._dips, self._breaks, self._surges = Dips(clock), Breaks(clock), Surges(clock)
        self._steady_until = float("-inf")

    @property
    def spreads(self) -> bool:
        """Whether requests are spread out in time, which starts with the first refusal."""
        return self._belief is not None

    @property
    def spacing(self) -> float:
        """Seconds from one request to the next."""
        reply = self.evidence.reply_seconds
        if self._belief is None or reply is None:
            return 0.0
        if self.value > 1:
            # After a queue has emptied, the average is behind for a hundred replies.
            return min(REPLY_SHARE * min(reply, LAG * self.evidence.late_seconds), 1.0) / self.value
        return self._breaks.seconds(self.value, reply)

    @property
    def _load(self) -> float:
        """The load that the level allows."""
        reply, spacing = self.evidence.reply_seconds, self.spacing
        return self.value if self.value > 1 or reply is None or not spacing else reply / spacing

    def on_sent(self, in_flight: int) -> Departure:
        """Record that a request is sent, with so many *in_flight* including it."""
        now = self._clock.now()
        if in_flight >= int(self.value):
            self._full_at = now
        self._growth.on_sent(now)
        departure = self.evidence.on_sent(now, in_flight, self._load)
        self._surges.on_sent()
        return departure

    def on_reply(self, departure: Departure) -> None:
        """Record a reply, and adapt the level."""
        now = self._clock.now()
        self.evidence.on_reply(now, now - departure.at)
        self._growth.on_reply(now - departure.at)
        self._surges.on_outcome(refused=False)
        if self.storm.on_reply(departure.number):
            self._resume(now)
        # Growth needs a level that was fully used, or it says nothing about what the endpoint bears. "Was", not "is":
        # of replies that come together, all but the first find fewer in flight.
        elif self._full_at >= departure.at and not self.storm.raging:
            self._harvest(departure, now)

    def on_refusal(self, departure: Departure, told: float) -> None:
        """Record a refusal, in which the endpoint *told* to wait so many seconds (0: none)."""
        now, evidence = self._clock.now(), self.evidence
        belief = self._belief = self._belief or self._first_belief(now)
        self._refused_since_tick += 1
        if not self.storm.raging:
            self._allowance -= self._blame(belief, departure, now)
            evidence.on_refusal(departure, now - departure.at)
            self._surges.on_outcome(refused=True)
        seconds = evidence.refusal_seconds or 0.0
        self.storm.on_refusal(departure.number, evidence.sent, seconds, belief.noise, told)
        if not self.storm.raging and now >= self._judged_at + JUDGED_SECONDS:
            self._judged_at = now
            evidence.count_refusals(belief)
            self._decide(belief, now)

    def _blame(self, belief: LimitBelief, departure: Departure, now: float) -> float:
        """Return how likely the limit is to blame for a refusal, as of the last judgement."""
        if now >= self._judged_at + JUDGED_SECONDS:
            self._blamed = belief.blame(departure.load)
        return self._blamed

    def on_other(self, departure: Departure) -> None:
        """Record that a request ended in a way that says nothing about the load."""
        self._growth.on_other()
        self.storm.on_other(departure.number)

    def on_told(self, departure: Departure) -> None:
        """Record that the endpoint said that its limit is reached."""
        now = self._clock.now()
        belief = self._belief = self._belief or self._first_belief(now)
        if not self.storm.raging:
            belief.told(departure.load)
            self._decide(belief, now)

    def judge(self) -> None:
        """Find out whether what was suspected to be a storm is one, before anything more is sent."""
        if self.storm.judge(self.evidence.sent):
            self.evidence.forget()

    def tick(self, in_flight: int) -> None:
        """Count what was sent a while ago, and decide anew; to be called often, with the requests *in_flight* now."""
        self.judge()
        now, evidence = self._clock.now(), self.evidence
        seconds, belief = now - (self._ticked_at or now), self._belief
        self._ticked_at = self._ticked_at or now
        if seconds < TICK_SECONDS:
            return
        if (
            belief is not None and self.value > 1 and in_flight == 0
            and evidence.sent == self._sent_at_tick and self.storm.calm
        ):  # fmt: skip
            return  # nothing to learn; the time is made up for later, at once
        sent, self._sent_at_tick = evidence.sent - self._sent_at_tick, evidence.sent
        refused, self._refused_since_tick = self._refused_since_tick, 0
        self._ticked_at = now
        if belief is None:
            evidence.pass_time(now, None)
            self.value = self._growth.by_time(self.value, in_flight, evidence.reply_seconds)
            return
        if self.storm.raging or now < self.storm.until:
            return
        if evidence.reply_seconds is not None:
            belief.pass_time(seconds, sent - refused, evidence.reply_seconds)
        evidence.count_refusals(belief)
        evidence.pass_time(now, belief)
        # Where noise is, it takes more refusals to find anything out.
        income = (INCOME + NOISE_INCOME * min(MOST_NOISE_INCOME, belief.noise)) * sent + SLOW_INCOME * seconds
        self._allowance = max(LEAST_REFUSALS, min(MOST_REFUSALS, self._allowance + income))
        if self.storm.calm:
            belief.remember(now)
        self._decide(belief, now)

    def _first_belief(self, now: float) -> LimitBelief:
        belief = self.evidence.first_belief(self._maximum, now - self._growth.began_at)
        belief.remember(now)
        self._breaks.start()
        return belief

    def _resume(self, now: float) -> None:
        """Go on after a storm, which says nothing about what is borne in good times, unless too much was sent."""
        # An overshoot looks like a storm, too; forgotten, it would be repeated as soon as the level has risen again.
        if self._belief is not None and not self.storm.brief:
            self._belief.go_back(5.0)
        self.evidence.forget()
        self.value = max(1.0, self.value / 2)
        self._steady_until = now + 3 * TICK_SECONDS
        self._allowance = max(self._allowance, 2.0)

    def _decide(self, belief: LimitBelief, now: float) -> None:
        self._dips.plan(belief.noise, self.value, self.evidence)
        reply = self.evidence.reply_seconds or 0.5
        # What would be refused before that is known.
        requests = max(1.0, self.value / reply * (2 * (self.evidence.refusal_seconds or 0.05) + TICK_SECONDS))
        least = max(LEAST_RISK, RISKED_SECONDLY * reply / self.value, NOISE_RISK * belief.noise)
        risk = min(MOST_RISK, max(least, self._allowance / (CAUTION * requests)))
        served = SERVED_SHARE * self.evidence.served(now)
        if now >= self._held_until:
            self._held_until, self._bearable = now + HELD_SECONDS, HELD_GROWTH * self._bearable
        borne = belief.highest(risk)
        # What is far below what is borne is a dip already; and one would last, as next to nothing is sent.
        rising = self.value < ONE_AT_A_TIME and borne >= 2 * self.value
        dip = float("inf") if rising else max(LOWEST, self._dips.level)
        level = min(max(borne, served), 2 * self.value, self._bearable, dip)
        self._surges.plan(self.value, belief.highest(MOST_RISK), reply)
        if self._surges.level:
            level = min(self._surges.level, self._bearable)
        level = min(level, float(self._maximum))
        # A level that is not used says nothing, so it need not be higher.
        if level <= self.value or (now >= self._steady_until and self._full_at >= now - max(1.0, 2 * reply)):
            self.value = level

    def _harvest(self, departure: Departure, now: float) -> None:
        """Lower the level to where the throughput saturates; or grow, if nothing was refused yet."""
        saturation = self._throughput.saturation(departure.in_flight, now - departure.at)
        if saturation is not None and saturation < self.value:
            self._growth.doubles = False
            # More may pay later, and trying costs time but no refusals: so growth is only held for a moment.
            self._held_until, self._bearable = now + HELD_SECONDS, float(ceil(saturation))
            self.value = min(self.value, self._bearable)
        elif self._belief is None and now >= self._held_until:
            self.value = self._growth.by_reply(self.value)
