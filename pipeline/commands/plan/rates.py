"""What tokens come to: an estimate by the text, corrected by what rows of this very task were billed."""

import numpy as np
from numpy.typing import NDArray

from pipeline.commands.plan.shape import Parts
from pipeline.commands.plan.sizes import tokens_of
from pipeline.commands.plan.spread import Lengths
from pipeline.quality.drawing import Lowest
from pipeline.tasks.data import as_data
from pipeline.tasks.tokens import estimate_tokens

BELIEVED = (0.08, 0.15)
"""How far a bill may be from the estimate of what is fixed, and of texts, as a standard deviation."""

SCATTER, ROUNDING = 0.12, 2.0
"""How far that of a single text may be; and tokens that always are."""

READS_SCHEMA = {"oxen": (1.0, 0.3), "openai": (1.0, 0.2), "openai-compatible": (0.7, 0.5)}
"""Which share of the schema is billed, and how far that may be wrong; nothing at a server of our own."""


class Sample:
    """The tokens of the texts of many rows, from those of some.

    Attributes:
        rows: How many.
        rough: Their tokens by a rule of thumb.
        lengths: How these are spread.
        some: Both estimates of the tokens of some of them.
    """

    def __init__(self) -> None:
        self.rows = self.rough = 0
        self.lengths = Lengths()
        self.some = Lowest[tuple[int, float]]()

    def add(self, key: bytes, text: str) -> None:
        """Count a row."""
        rough = estimate_tokens(text)
        self.rows += 1
        self.rough += rough
        self.lengths.add(rough)
        if self.some.wants(key):
            self.some.add(key, (rough, tokens_of(as_data(text))))

    def take(self, other: "Sample", share: float) -> int:
        """Count a *share* of the rows of *other*, drawn at random; returns how many these are."""
        rows = round(share * other.rows)
        self.rows += rows
        self.rough += round(share * other.rough)
        self.lengths.take(other.lengths, share)
        some = other.some.first(len(other.some)) if rows else {}
        self.some.update((key, each) for key, each in some.items() if self.some.wants(key))
        return rows

    @property
    def tokens(self) -> float:
        """The tokens of all texts together."""
        rough = sum(each for each, _ in self.some.items)
        return self.rough * sum(each for _, each in self.some.items) / rough if rough else 0.0

    @property
    def mean(self) -> float:
        """The tokens of a text."""
        return self.tokens / self.rows if self.rows else 0.0


class Rates:
    """How many tokens are billed for one that is estimated: of what is fixed, of the schema, and of texts."""

    def __init__(self, provider: str) -> None:
        schema, doubt = READS_SCHEMA.get(provider, (0.0, 0.01))
        self._doubt = np.array([BELIEVED[0], doubt, BELIEVED[1]]) ** -2.0
        # Bayes' linear regression: what is believed beforehand are answers, too, and few bills weigh as little as they tell.
        self._squares = np.diag(self._doubt)
        self._products = self._doubt * np.array([1.0, schema, 1.0])

    def learn(self, parts: Parts, billed: int, spread: float = 0.0) -> None:
        """Learn from what a request, or one row's share of it, was *billed*; *spread* is how far its texts may be from what is said."""
        found = np.array([parts.fixed, parts.schema, parts.texts])
        weight = 1 / (ROUNDING**2 + (SCATTER * parts.texts) ** 2 + spread**2)
        self._squares += weight * np.outer(found, found)
        self._products += weight * found * billed

    def billed(self, parts: Parts, times: float = 1.0) -> float:
        """Return what so many requests like this are billed."""
        return times * float(self._rates() @ [parts.fixed, parts.schema, parts.texts])

    def _rates(self) -> NDArray[np.float64]:
        kept = np.ones(3, bool)
        while True:  # what would be negative is nothing, and the others are what they are without it
            found = np.zeros(3)
            found[kept] = np.linalg.solve(self._squares[np.ix_(kept, kept)], self._products[kept])
            if (found >= 0).all():
                return found
            kept &= found > 0
