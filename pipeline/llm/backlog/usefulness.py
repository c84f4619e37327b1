"""Whether an endpoint's answers can be used: one that labels nothing is quick, and would take the most."""

from collections import OrderedDict
from typing import TypeVar

SHARE, LEAST, MOST = 0.9, 20, 300
"""Share of answers that have to be asked for again from which an endpoint is no help, of so many answers at least; from the last
number on, older ones count half."""


REMEMBERED = 10_000
"""Answers of which it is known who gave them: no more than wait until they are durable."""

T = TypeVar("T")


class Given(OrderedDict[bytes, T]):
    """Who has given the latest answers, by their keys."""

    def by(self, key: bytes, giver: T) -> None:
        """Record that the answer to the prompt with *key* came from *giver*."""
        self[key] = giver
        if len(self) > REMEMBERED:
            self.popitem(last=False)


class Usefulness:
    """Counts the answers of one endpoint, and those of them that are unusable."""

    def __init__(self) -> None:
        self._answers = self._unusable = 0

    def on_answer(self) -> None:
        """Count an answer, of which it is not known yet whether it can be used."""
        self._answers += 1
        if self._answers >= MOST:
            self._answers, self._unusable = self._answers // 2, self._unusable // 2

    def on_unusable(self) -> bool:
        """Count one that has to be asked for again, and return whether nearly all have to."""
        self._unusable += 1
        return self._answers >= LEAST and self._unusable >= SHARE * self._answers
