"""How many rows a request carries."""

import logging
from dataclasses import dataclass

log = logging.getLogger(__name__)

WIDTHS = (1, 2, 5, 10, 20)
"""What `auto` chooses from: past 20, the rows themselves are nearly all that is paid for."""

WINDOW, MOST_MISSING = 50, 0.02
"""Of the rows in so many requests such a share may be missing in the replies: asked again, they are paid for twice."""


@dataclass(slots=True)
class Width:
    """How many rows a request carries now.

    Attributes:
        rows: So many.
    """

    rows: int
    _replies: int = 0
    _asked: int = 0
    _missing: int = 0

    def on_reply(self, asked: int, missing: int) -> None:
        """Count a reply about so many rows, of which some are *missing* in it; too many of those halve the width."""
        if asked != self.rows:  # what was missing once is asked in halves, and misses more
            return
        self._replies += 1
        self._asked += asked
        self._missing += missing
        if self._replies < WINDOW:
            return
        if self._missing > MOST_MISSING * self._asked:
            log.warning(
                "%d of %d rows are missing in %d replies about %d rows each; requests carry %d from now on",
                self._missing, self._asked, self._replies, self.rows, max(1, self.rows // 2),
            )  # fmt: skip
            self.rows = max(1, self.rows // 2)
        self._replies = self._asked = self._missing = 0
