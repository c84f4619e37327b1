"""How many rows that are left alone would have had another label: what an audit of them proves, in up to three looks.

The coins of all rows fall once. Each look has twice as many of them count, so that what one look has asked is part of
the next one's audit, and each may fail with a part of delta only, all parts together with delta.
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import ceil, e, inf, log
from typing import NamedTuple

from pipeline.config.answerers import CarrySettings
from pipeline.config.values import FailureAllowance
from pipeline.student.certificate import most_that_differ
from pipeline.student.store import MERGED, PLAIN

PARTS = (2, 4, 4)
"""Each look's part of delta: a half, and twice a quarter."""

MARGIN = 1.2
"""So many times as many rows are audited as it takes to prove it if none differs: how many coins fall is chance."""

MOST_AUDITED = 1 - 1 / e
"""Beyond this share of all rows, more audits prove less about those that are left: these become fewer all the faster."""

FEWER = 0.9
"""That share of the coins has to be enough, as well, where a large part of all rows is audited."""

MERGED_AUDITS = 150
"""So many of the rows whose labels are merged are audited at least, and so many of the others."""


class Draw(NamedTuple):
    """Which rows are audited at first.

    Attributes:
        rows: How many rows are to be left alone.
        wanted: How many of them have to be audited.
        share: The share of all of them that is.
        shares: A larger one of some kinds, by their numbers.
    """

    rows: int
    wanted: float
    share: float
    shares: Mapping[str, float]

    @property
    def reach(self) -> float:
        """The largest coin that counts in any look: those of smaller ones may have been asked."""
        return max(*(share for share, _ in looks(self.share, 1.0)), *self.shares.values())

    def expected(self, kinds: Mapping[int, int]) -> int:
        """Return how many are audited, more or less, if there are so many of each of *kinds*."""
        rates = ((kinds.get(kind, 0), self.shares.get(str(kind), self.share)) for kind in (PLAIN, MERGED))
        return round(sum(rows * rate for rows, rate in rates))


def drawn(kinds: Mapping[int, int], settings: CarrySettings) -> Draw:
    """Return which rows are audited, if there are so many of each of *kinds*."""
    rows = kinds.get(PLAIN, 0) + kinds.get(MERGED, 0)
    wanted = settings.audits or audits(settings.max_missed, settings.delta, rows)
    share = min(1.0, wanted / max(1, rows))
    several = kinds.get(MERGED, 0) > 0
    least = {kind: min(1.0, MERGED_AUDITS / count) for kind, count in kinds.items() if several and count}
    shares = {str(kind): max(share, least[kind]) for kind in (PLAIN, MERGED) if kind in least}
    return Draw(rows, wanted, share, shares)


@dataclass(frozen=True, slots=True)
class Look:
    """What one look has found.

    Attributes:
        rows: How many rows are to be left alone.
        audited: How many of them were asked by the coin that is the same for all.
        differ: How many of those have another label, or none.
        more: How many of the others were asked besides.
        more_differ: How many of those have another label.
    """

    rows: int
    audited: int
    differ: int
    more: int = 0
    more_differ: int = 0

    @property
    def left(self) -> int:
        """Rows that nobody asked about."""
        return self.rows - self.audited - self.more

    def most_missed(self, delta: float) -> int:
        """Return the upper bound on how many of those have another label; what was found is mended."""
        found = self.differ + self.more_differ
        return min(self.left, max(0, most_that_differ(self.rows, self.audited, self.differ, delta) - found))


def looks(share: float, delta: float) -> Iterator[tuple[float, float]]:
    """Yield for each look the share of the rows that is audited and the level of its bound, *share* being the first's."""
    for number, part in enumerate(PARTS):
        yield min(1.0, share * 2**number), delta / part


def audits(allowed: FailureAllowance, delta: float, rows: int) -> float:
    """Return how many of *rows* the first look audits if so many may be missed: enough if next to none differs.

    The fewer rows there are, the fewer are left of which a share may be missed, and the more have to be audited.
    """
    share = float(allowed.limit) / 100 if allowed.is_percent else float(allowed.limit) / max(1, rows)
    if share >= 1:
        return 1
    if not share:
        return inf
    level = log(delta / PARTS[0])

    def proves(audited: int) -> bool:
        missed = share * (rows - audited) if allowed.is_percent else float(allowed.limit)
        # By chance none of so many is found: nearly what the hypergeometric distribution says.
        return missed * log(1 - audited / (rows - missed / 2)) <= level

    most = int(rows * MOST_AUDITED)
    least = bisect_left(range(most), True, key=proves)  # noqa: FBT003 - the value that is looked for
    return max(ceil(MARGIN * level / log(1 - share)), ceil(least / FEWER)) if least < most else inf
