"""What stands out among texts: a few very long ones, and those that are nearly another one's equal."""

from hashlib import blake2b
from typing import NamedTuple

LIMITS = (50, 100, 200, 400, 800, 1_600, 3_200, 6_400)
"""Tokens at which texts could be cut."""

FEW = 0.05
"""Share of the texts that may be cut."""


class Cut(NamedTuple):
    """What a cut would do.

    Attributes:
        limit: Tokens that are left of a text at most.
        texts: How many are longer.
        tokens: How many of theirs are beyond it.
    """

    limit: int
    texts: int
    tokens: int


class Lengths:
    """Counts texts by their roughly estimated tokens.

    Attributes:
        seen: How many.
        texts: How many of them are longer than each limit.
        beyond: How many of their tokens are beyond it.
    """

    def __init__(self) -> None:
        self.texts, self.beyond = [0] * len(LIMITS), [0] * len(LIMITS)
        self.seen = 0

    def add(self, tokens: int) -> None:
        """Count a text."""
        self.seen += 1
        for at, limit in enumerate(LIMITS):
            if tokens <= limit:
                return
            self.texts[at] += 1
            self.beyond[at] += tokens - limit

    def take(self, other: "Lengths", share: float) -> None:
        """Count a *share* of the texts of *other*."""
        self.seen += round(share * other.seen)
        self.texts = [mine + round(share * its) for mine, its in zip(self.texts, other.texts, strict=True)]
        self.beyond = [mine + round(share * its) for mine, its in zip(self.beyond, other.beyond, strict=True)]

    def cut(self) -> Cut | None:
        """Return the lowest cut that few texts would notice; None if there is none, or none would."""
        for limit, texts, beyond in zip(LIMITS, self.texts, self.beyond, strict=True):
            if texts <= max(1, FEW * self.seen):
                return Cut(limit, texts, beyond) if texts else None
        return None


MOST = 200_000
"""Texts that are remembered; past so many, the share of twins among them stands for all."""


class Twins:
    """Counts texts that are another one's twin.

    Attributes:
        seen: How many texts were looked at.
        found: How many of them are the twin of an earlier one.
    """

    def __init__(self) -> None:
        self.seen = self.found = 0
        self._hashes: set[bytes] = set()

    def add(self, text: str) -> None:
        """Look at a text."""
        if self.seen >= MOST:
            return
        self.seen += 1
        before = len(self._hashes)
        self._hashes.add(
            blake2b(" ".join(text.split()).casefold().encode("utf-8", "replace"), digest_size=8).digest()
        )
        self.found += len(self._hashes) == before

    @property
    def share(self) -> float:
        """The share of twins."""
        return self.found / self.seen if self.seen else 0.0
