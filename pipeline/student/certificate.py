"""What an audit proves about rows that nobody asked about: an exact bound, and a fixed sequence of thresholds.

The rows that the student may answer are a finite, known set. Each of them is audited, that is asked, by a coin of its
own: given how many were, those are a uniform sample without replacement, and the number that differ among them is
hypergeometric. Nothing is assumed about the rows, their order or the student: the promise rests on the coin alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import log

from pipeline.quality.extra import library


@dataclass(frozen=True, slots=True)
class Tier:
    """The rows whose score reaches one threshold, and what their audit has found.

    Attributes:
        threshold: The lowest score.
        rows: How many there are.
        audited: How many of them were asked.
        differ: How many of those have another label from the model, or none.
    """

    threshold: float
    rows: int
    audited: int
    differ: int

    @property
    def local(self) -> int:
        """Rows that nobody asked about, which the student would answer."""
        return self.rows - self.audited

    def most_wrong(self, delta: float) -> int:
        """Return the upper bound on how many of those differ; what differs among the audited rows is mended."""
        return most_that_differ(self.rows, self.audited, self.differ, delta) - self.differ

    def allowed(self, target: float) -> int:
        """Return how many of those may differ if a share of *target* is to agree."""
        return int((1 - Fraction(str(target))) * self.local)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a sequence of tiers has come to.

    Attributes:
        tier: The largest one that passed; None if none did.
        failed: The tier at which the sequence stopped; None if all passed.
    """

    tier: Tier | None = None
    failed: Tier | None = None


ROUNDED = 1 - 1e-9
"""Part of delta from which a probability may be delta itself, but for rounding; then the larger number is the bound."""


def most_that_differ(rows: int, audited: int, differ: int, delta: float) -> int:
    """Return the exact upper bound on how many of *rows* differ, if *differ* of *audited* random ones do.

    It is the largest number with which so few would be found with a probability of *delta* at least: whatever the true number,
    the bound is below it with a probability of at most *delta*.
    """
    hypergeom = library("scipy.stats", extra="student").hypergeom
    low, high = differ, rows - audited + differ  # the audit itself rules out all others
    while low < high:
        middle = (low + high + 1) // 2
        if hypergeom.cdf(differ, rows, middle, audited) > delta * ROUNDED:
            low = middle
        else:
            high = middle - 1
    return low


def passes(tier: Tier, target: float, delta: float) -> bool:
    """Return whether the audit of *tier* proves that a share of *target* of its local rows agrees, at the level *delta*."""
    one_too_many = tier.differ + tier.allowed(target) + 1
    if one_too_many > tier.rows - tier.audited + tier.differ:
        return True
    # The bound is below that number if so few would be found among so many with a probability of at most delta.
    hypergeom = library("scipy.stats", extra="student").hypergeom
    return bool(hypergeom.cdf(tier.differ, tier.rows, one_too_many, tier.audited) <= delta * ROUNDED)


def least_audited(target: float, delta: float) -> float:
    """Return how many audited rows it takes for a tier to pass if none of them differs."""
    return log(delta) / log(target)


def certify(tiers: Sequence[Tier], target: float, delta: float) -> Verdict:
    """Test *tiers*, the surest and smallest first, until one fails; the last that passed is certified.

    Each test has the full *delta*, as the order was fixed before the audit (fixed sequence, Learn-then-Test). A tier in
    which too few rows were audited to pass at all is left out, which looks at their number only; otherwise a tiny first
    tier would stop everything.
    """
    passed: Tier | None = None
    for tier in tiers:
        if tier.audited < least_audited(target, delta) or not tier.local:
            continue
        if not passes(tier, target, delta):
            return Verdict(passed, tier)
        passed = tier
    return Verdict(passed)
