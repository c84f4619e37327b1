"""What rows have shown that were asked together, and alone twice."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from pipeline.figures import percent
from pipeline.quality.intervals import highest, lowest, mcnemar

LOOK, LOOKS = 200, 5
"""After so many rows each the evidence is looked at, so many times at most."""

RISK = 0.05 / LOOKS
"""Of a wrong conclusion in one look: one in twenty over all."""

THIRDS = ("first", "middle", "last")

Labels = tuple[str, ...]


@dataclass(slots=True)
class Evidence:
    """What the rows have shown that were asked in so many a request, and alone twice.

    Attributes:
        rows: How many.
        worse: Those of them whose label differs from the first one alone, while the second one alone does not.
        better: Those where it is the other way round.
        differ: Those whose label differs from the first one alone.
        thirds: How many rows stood in each third of their request, and how many of those differ.
    """

    rows: int = 0
    worse: int = 0
    better: int = 0
    differ: int = 0
    thirds: Counter[str] = field(default_factory=Counter)

    def add(self, alone: Labels, again: Labels, packed: Labels, third: str | None) -> None:
        """Count one row."""
        odd, own = set(packed) != set(alone), set(again) != set(alone)
        self.rows += 1
        self.differ += odd
        self.worse += odd and not own
        self.better += own and not odd
        if third is not None:
            self.thirds[third] += 1
            self.thirds[f"{third} differ"] += odd

    @property
    def bounds(self) -> tuple[float, float]:
        """How many more rows get another label than would alone, as a share: at least and at most."""
        least = lowest(self.worse, self.rows, RISK / 2) - highest(self.better, self.rows, RISK / 2)
        most = highest(self.worse, self.rows, RISK / 2) - lowest(self.better, self.rows, RISK / 2)
        return least, most

    @property
    def words(self) -> str:
        """A sentence about it, for people."""
        same = percent(1 - self.differ / self.rows, 1)
        own = percent(1 - (self.differ - self.worse + self.better) / self.rows, 1)
        places = ", ".join(
            f"{third} {percent(1 - self.thirds[f'{third} differ'] / self.thirds[third], 1)}"
            for third in THIRDS
            if self.thirds[third]
        )
        p = mcnemar(self.worse, self.better)
        by_place = f"; by place in the request: {places}" if places else ""
        return (
            f"of {self.rows:,} rows asked alone, too, {same} got the same label, and {own} the same alone once more "
            f"(McNemar p = {p:.2g}){by_place}"
        )

    @property
    def facts(self) -> dict[str, Any]:
        """What it comes to, for programs: shares of the rows, and counts where so few were asked that a share says little."""
        least, most = self.bounds
        return {
            "rows": self.rows,
            "same": 1 - self.differ / self.rows,
            "same_alone": 1 - (self.differ - self.worse + self.better) / self.rows,
            "worse": self.worse,
            "better": self.better,
            "p": mcnemar(self.worse, self.better),
            "lost_least": least,
            "lost_most": most,
            "thirds": {
                third: {"rows": self.thirds[third], "differ": self.thirds[f"{third} differ"]}
                for third in THIRDS
                if self.thirds[third]
            },
        }
