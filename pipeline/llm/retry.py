"""What is done about a failure: small values that say how long to wait and when to give up."""

from dataclasses import dataclass

from pipeline.llm.replies import NOTHING, Failure, FailureKind, Usage
from pipeline.system.clock import Clock


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential delays with full jitter, as AWS's architecture blog describes it (2015)."""

    first_seconds: float
    ceiling_seconds: float

    def after(self, failures: int, clock: Clock) -> float:
        """Return the seconds to wait after so many failures in a row (1 or more)."""
        return clock.random() * min(self.ceiling_seconds, self.first_seconds * 2.0 ** min(failures - 1, 30))


@dataclass(frozen=True, slots=True)
class Policy:
    """How patient a run is with one row.

    Attributes:
        transient: Delays after a transient failure.
        throttled: Delays of everybody after a throttle without a Retry-After.
        max_attempts: Failures of its own that a row may have, and more where chance alone explains them.
        by_chance: Probability of as many failures in a row below which they are no chance: of 10 million rows
            none is given up for bad luck.
        max_garbled: Garbled replies that a row may have while the endpoint is well otherwise: each may have
            been paid for, and a row that garbles every reply is the row's fault.
        max_denied: Denials that a row may have while other rows get replies.
        max_seconds: How long a row is tried while other rows get replies.
        sick_share: Share of garbled replies above which the endpoint is to blame and not the row.
        confirm_seconds: Wait before a request goes out again whose denial needs to be confirmed.
        jitter: Added to a Retry-After, as a share of it, so that not everybody comes back at once.
    """

    transient: Backoff = Backoff(0.5, 30.0)
    throttled: Backoff = Backoff(1.0, 60.0)
    max_attempts: int = 20
    by_chance: float = 1e-9
    max_garbled: int = 4
    max_denied: int = 3
    max_seconds: float = 1800.0
    sick_share: float = 0.05
    jitter: float = 0.1
    confirm_seconds: float = 0.5

    def pause(self, failure: Failure, episodes: int, clock: Clock) -> float:
        """Return the seconds that everybody waits after a throttle; a Retry-After is never undercut."""
        if failure.retry_after is not None:
            return failure.retry_after * (1 + self.jitter * clock.random())
        return self.throttled.after(max(1, episodes), clock)

    def delay(self, failure: Failure, failures: int, clock: Clock) -> float:
        """Return the seconds that this row waits before its next attempt."""
        if failure.retry_after is not None:
            return failure.retry_after * (1 + self.jitter * clock.random())
        return self.transient.after(failures, clock)

    def exhausted(
        self,
        failure: Failure,
        tries: "Tries",
        seconds: float,
        garbled_share: float,
        failed_share: float = 0.0,
    ) -> bool:
        """Whether a row that failed with *failure* has been tried enough.

        Args:
            failure: What went wrong now.
            tries: What the row has been through, this failure included.
            seconds: How long it has been tried while the endpoint was there.
            garbled_share: Share of garbled replies lately, over all rows.
            failed_share: Share of failed calls lately, over all rows.
        """
        if failure.kind is FailureKind.GARBLED and garbled_share < self.sick_share:
            return tries.garbled >= self.max_garbled
        unlucky = failed_share**tries.own >= self.by_chance
        return (tries.own >= self.max_attempts and not unlucky) or seconds >= self.max_seconds


@dataclass(frozen=True, slots=True)
class Tries:
    """What a row has been through.

    Attributes:
        calls: HTTP calls made.
        own: Failures that count against the row.
        garbled: The garbled ones among them.
        denied: Times that it was refused as if the key were wrong.
        paid: What garbled replies were billed for; it is added to the answer's bill.
    """

    calls: int = 0
    own: int = 0
    garbled: int = 0
    denied: int = 0
    paid: Usage = NOTHING

    @property
    def suspect(self) -> bool:
        """Whether the row itself may be what the endpoint cannot bear."""
        return self.garbled + self.denied > 0

    def after(self, failure: Failure, *, others_succeed: bool) -> "Tries":
        """Return the tries after one more call that failed; an outage is not the row's fault."""
        garbled = failure.kind is FailureKind.GARBLED
        counts = garbled or (failure.kind is FailureKind.TRANSIENT and others_succeed)
        return Tries(
            self.calls + 1,
            self.own + counts,
            self.garbled + garbled,
            self.denied + (failure.kind is FailureKind.DENIED),
            self.paid.plus(failure.usage),
        )
