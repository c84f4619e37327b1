"""Rows that are drawn at random: those with the lowest keys, or by lot those that a person is to label.

Of the latter half are drawn from all, half spread evenly over the labels that the model gave. The first half shows the
table as it is, the second sees to it that rare labels are judged at all. Within the rows of one label every row is as
likely as any other, on which the estimate of shares relies.
"""

import heapq
from collections import defaultdict
from collections.abc import Hashable, Iterable
from random import Random
from typing import Generic, TypeVar

T = TypeVar("T")

SAMPLED = 1_000
"""Rows that are looked at closely, whichever they are."""


class Lowest(Generic[T]):
    """The items with the lowest keys, *most* of them or up to twice as many: keys are hashes, so that these are a sample of all."""

    def __init__(self, most: int = SAMPLED) -> None:
        self._most, self._limit, self._kept = most, b"\xff" * 32, dict[bytes, T]()

    def __len__(self) -> int:
        return len(self._kept)

    def __contains__(self, key: bytes) -> bool:
        return key in self._kept

    def wants(self, key: bytes) -> bool:
        """Return whether the item with *key* may be one of them, before it is made."""
        return key < self._limit

    def add(self, key: bytes, item: T) -> None:
        """Take an item in, in the place of one with the same key."""
        self.update([(key, item)])

    def update(self, items: Iterable[tuple[bytes, T]]) -> None:
        """Take several in."""
        self._kept.update(items)
        if len(self._kept) >= 2 * self._most:
            self.shrink()

    def shrink(self) -> None:
        """Keep no more than were asked for."""
        if len(self._kept) > self._most:
            self._kept = self.first(self._most + 1)
            self._limit, _ = self._kept.popitem()

    def first(self, count: int) -> dict[bytes, T]:
        """Return *count* of them, the lowest first."""
        return {key: self._kept[key] for key in sorted(self._kept)[:count]}

    @property
    def items(self) -> list[T]:
        """Those that there are."""
        return list(self._kept.values())


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
