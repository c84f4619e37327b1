"""The retry policy: how long to wait after a failure, and when to give a row up."""

from dataclasses import dataclass
from math import lgamma, log

from pipeline.llm.health.sentences import REFUSED_ROW, sentence
from pipeline.llm.replies import NO_USAGE, RUN_WIDE, Failure, FailureKind, Usage
from pipeline.system.clock import Clock


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential backoff with full jitter (M. Brooker, AWS Architecture Blog, 2015), in seconds."""

    first_seconds: float
    ceiling_seconds: float

    def after(self, failures: int, clock: Clock) -> float:
        """Return the seconds to wait after *failures* in a row (1 or more)."""
        return clock.random() * min(self.ceiling_seconds, self.first_seconds * 2.0 ** min(failures - 1, 30))


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The limits and delays of retries.

    Attributes:
        transient: Delays of one row after a transient failure or a throttle.
        max_attempts: Failures of its own after which a row is given up, unless chance alone explains them.
        chance: Probability of that many failures in a row below which chance does not explain them.
        max_garbled: Garbled replies after which a row is given up while other rows get good ones.
        max_denied: Denials after which a row is given up while other rows get replies.
        max_seconds: Time after which a row is given up while other rows get replies.
        garbling_share: Share of garbled replies above which the endpoint is to blame for them and not the row.
        jitter: Added to a Retry-After, as a share of it.
        control: Delays of a control that is refused.
        confirm_seconds: Wait before a request that was refused before the first reply is sent again to confirm the refusal.
    """

    transient: Backoff = Backoff(0.5, 30.0)
    max_attempts: int = 20
    chance: float = 1e-9  # of 10 million rows none is given up for bad luck
    max_garbled: int = 4  # few, because each may have been billed
    max_denied: int = 3
    max_seconds: float = 1800.0
    garbling_share: float = 0.05
    jitter: float = 0.1  # so that not all clients come back at the same moment
    control: Backoff = Backoff(1.0, 5.0)
    confirm_seconds: float = 0.5

    def delay(self, failure: Failure, failures: int, clock: Clock) -> float:
        """Return the seconds that one row waits before its next call, after *failures* of its own."""
        own = self.transient.after(failures, clock)
        # A floor and no ceiling: gateways tell `Retry-After: 0` in every refusal, which is no leave to hammer.
        if failure.retry_after is None:
            return own
        return max(own, failure.retry_after * (1 + self.jitter * clock.random()))

    def exhausted(
        self,
        failure: Failure,
        attempts: "Attempts",
        seconds: float,
        garbled_share: float,
        failed_share: float = 0.0,
    ) -> bool:
        """Return whether a row that failed with *failure* has been tried enough.

        Args:
            failure: What went wrong now.
            attempts: The row's calls so far, including this one.
            seconds: How long it has been tried while the endpoint was available.
            garbled_share: Recent share of garbled replies, over all rows.
            failed_share: Recent share of failed calls, over all rows.
        """
        if failure.kind is FailureKind.GARBLED and garbled_share < self.garbling_share:
            return attempts.garbled >= self.max_garbled
        # At the share at which calls fail now, so many failures in a row would be no rare event.
        unlucky = failed_share ** max(1, attempts.own_failures) >= self.chance
        # A clock alone shows nothing where the pace lets a row be asked now and then only; but a call that hangs is no bad luck.
        too_long = seconds >= self.max_seconds and (failure.timed_out or not unlucky)
        return (attempts.own_failures >= self.max_attempts and not unlucky) or too_long

    def condemned(self, attempts: "Attempts", controls: int, failed: int) -> bool:
        """Return whether a row is to blame that failed between *controls*, of which so many *failed*.

        The chance of as many failures in turn as the row has had is that of the beta-binomial distribution, from a
        uniform prior: few controls say little about the share of calls that fail whatever is asked.
        """
        fail, pass_ = failed + 1, controls - failed + 1
        chance = _log_beta(fail + attempts.own_failures, pass_) - _log_beta(fail, pass_)
        return chance < log(self.chance)


def _log_beta(a: float, b: float) -> float:
    return lgamma(a) + lgamma(b) - lgamma(a + b)


@dataclass(frozen=True, slots=True)
class Attempts:
    """A row's failed calls so far.

    Attributes:
        calls: All of them.
        own_failures: Those that count against the row.
        garbled: The garbled ones among those.
        denied: Those that were refused as if it concerned all rows.
        refused: Those that were refused as if it concerned this row alone.
        paid: What garbled replies were billed for; it is added to the answer's bill.
        refusal: The sentence of the latest refusal of this row in the form that it is asked in; empty if there was none.
    """

    calls: int = 0
    own_failures: int = 0
    garbled: int = 0
    denied: int = 0
    refused: int = 0
    paid: Usage = NO_USAGE
    refusal: str = ""

    @property
    def suspect(self) -> bool:
        """Whether the row itself may be what makes its calls fail."""
        return self.garbled + self.denied > 0

    def after(self, failure: Failure, *, others_succeed: bool) -> "Attempts":
        """Return the attempts with one more failed call."""
        garbled = failure.kind is FailureKind.GARBLED
        # A transient failure while no call succeeds is an outage, and not the row's fault.
        counts = garbled or (failure.kind is FailureKind.TRANSIENT and others_succeed)
        refused = failure.kind in REFUSED_ROW
        return Attempts(
            self.calls + 1,
            self.own_failures + counts,
            self.garbled + garbled,
            self.denied + (failure.kind in RUN_WIDE),
            self.refused + refused,
            self.paid.plus(failure.usage),
            sentence(failure) if refused else self.refusal,
        )
