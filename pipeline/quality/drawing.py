"""Which rows a person is to label: half of them at random, half spread evenly over the labels that the model gave.

The first half shows the table as it is, the second sees to it that rare labels are judged at all. Within the rows of one
label every row is as likely as any other, on which the estimate of shares relies.
"""

import heapq
from collections import defaultdict
from collections.abc import Hashable, Iterable
from random import Random


class Drawing:
    """Draws rows in one pass, whatever their number, in memory for the rows that may be drawn.

    Each row has a random number; of all rows, and of each label's, those with the lowest are kept.
    """

    def __init__(self, rows: int, *, seed: int = 0) -> None:
        """Draw *rows* rows; the same *seed* draws the same from the same table."""
        self._rows, self._random = rows, Random(seed)  # noqa: S311 - not a secret
        self._all: list[tuple[float, int]] = []
        self._by_label: defaultdict[Hashable, list[tuple[float, int]]] = defaultdict(list)

    def add(self, row: int, labels: Iterable[Hashable]) -> None:
        """Add a row that has these *labels*."""
        # Negative, as a heap gives away its lowest.
        ticket = (-self._random.random(), row)
        self._keep(self._all, ticket)
        for label in labels:
            self._keep(self._by_label[label], ticket)

    def drawn(self) -> list[int]:
        """Return the rows that are drawn, in order."""
        uniform = [row for _, row in sorted(self._all, reverse=True)]
        chosen = set(uniform[: (self._rows + 1) // 2])
        queues = [[row for _, row in sorted(each)] for each in self._by_label.values()]
        queues = [[row for row in queue if row not in chosen] for queue in queues]
        # The label with the fewest rows so far is next; those that have no more drop out.
        while len(chosen) < self._rows and any(queues):
            for queue in queues:
                while queue and queue[-1] in chosen:
                    queue.pop()
                if queue and len(chosen) < self._rows:
                    chosen.add(queue.pop())
        for row in uniform:  # where labels have run out of rows
            if len(chosen) >= self._rows:
                break
            chosen.add(row)
        return sorted(chosen)

    def _keep(self, heap: list[tuple[float, int]], ticket: tuple[float, int]) -> None:
        (heapq.heappush if len(heap) < self._rows else heapq.heappushpop)(heap, ticket)
