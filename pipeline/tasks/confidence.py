"""How sure the model was of its labels, from the probabilities of its tokens."""

import json
import re
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import accumulate
from math import exp
from typing import NamedTuple

import orjson

REMEMBERED = 1_000
"""Replies whose layout is kept; a task with few labels has few different ones."""

LONGEST_REMEMBERED = 2_000
"""Characters of a reply and its log-probabilities."""

STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')
"""A JSON string, and what stands between its quotes."""

NUMBER = r"[-+.0-9eE]+"


class _Layout(NamedTuple):
    """Tells how the tokens of a reply stand in its log-probabilities.

    Attributes:
        pattern: Finds the numbers of the tokens that spell labels in each line, if the tokens are the same again.
        parts: Which of those numbers are each label's, as a range; empty where that cannot be told.
    """

    pattern: re.Pattern[str]
    parts: Sequence[tuple[int, int]]


class Confidence:
    """Reads confidences; remembers where in which reply the labels are.

    A reply that comes again mostly consists of the same tokens, and one match finds the numbers between them: a third
    of the work of reading the JSON and looking for the labels.
    """

    def __init__(self) -> None:
        self._layouts: dict[str, _Layout] = {}

    def of_all(
        self, texts: Sequence[str | None], logprobs: Sequence[str | None], labels: Sequence[tuple[str, ...]]
    ) -> list[float | None]:
        """Return what `of` does for each reply, None where there are no labels or no log-probabilities."""
        found: list[float | None] = [None] * len(texts)
        alike: defaultdict[str | None, list[int]] = defaultdict(list)
        for row, (text, numbers, named) in enumerate(zip(texts, logprobs, labels, strict=True)):
            if named and numbers is not None:
                alike[text].append(row)
        for text, rows in alike.items():
            lines = [logprobs[row] or "" for row in rows]
            for row, confidence in zip(rows, self._of_same(text or "", lines, labels[rows[0]]), strict=True):
                found[row] = confidence
        return found

    def _of_same(self, text: str, lines: Sequence[str], labels: tuple[str, ...]) -> list[float | None]:
        """Return what `of` does for each of the log-probabilities of one reply: one search for all of them."""
        first = self.of(text, lines[0], labels)  # which has a layout from here on
        layout = self._layouts.get(text)
        # A token's line end is escaped, so what is found never goes beyond a line.
        numbers = layout.pattern.findall("\n".join(lines)) if layout else []
        if not layout or len(numbers) != len(lines):
            return [first, *[self.of(text, line, labels) for line in lines[1:]]]
        if not layout.parts:
            return [None] * len(lines)
        rows = zip(numbers, strict=True) if layout.pattern.groups == 1 else numbers
        columns = [list(map(float, column)) for column in zip(*rows, strict=True)]
        weakest = _by_row(min, [_by_row(sum, columns[start:stop]) for start, stop in layout.parts])
        return [exp(logarithm) if logarithm < 0.0 else 1.0 for logarithm in weakest]

    def of(self, text: str, logprobs: str, labels: tuple[str, ...]) -> float | None:
        """Return the probability that the model gave to *labels*: of several, the weakest.

        None where there is no label, or where the place of one of them cannot be told.

        Args:
            text: The reply.
            logprobs: JSON array of [token, natural log of its probability] over the whole reply.
            labels: The labels that were read from the reply: always the same ones from the same reply.
        """
        layout = self._layouts.get(text)
        if layout and (found := layout.pattern.fullmatch(logprobs)):
            return _weakest(layout.parts, list(map(float, found.groups())))
        pairs = orjson.loads(logprobs)
        # Where the grammar rewrites the reply, the tokens spell the same labels with other blanks around them.
        tokens = tuple([token for token, _ in pairs])
        parts = _parts(tokens, labels) or ()
        if not layout and len(self._layouts) < REMEMBERED and len(text) + len(logprobs) <= LONGEST_REMEMBERED:
            self._layouts[text] = _layout(tokens, parts)
        return _weakest(parts, [value for _, value in pairs])


def _by_row(
    function: Callable[[Sequence[float]], float], columns: Sequence[Sequence[float]]
) -> Sequence[float]:
    """Return what *function*, `sum` or `min`, makes of each row; of one column nothing else than itself."""
    return columns[0] if len(columns) == 1 else list(map(function, zip(*columns, strict=True)))


def _weakest(parts: Sequence[tuple[int, int]], values: Sequence[float]) -> float | None:
    if not parts:
        return None
    logarithm = min([sum(values[first:last]) for first, last in parts])
    return exp(logarithm) if logarithm < 0.0 else 1.0


def _layout(tokens: Sequence[str], parts: Sequence[tuple[int, int]]) -> _Layout:
    """Return how *tokens*, of which *parts* spell labels, stand in log-probabilities as the ledger keeps them."""
    needed = sorted({number for first, last in parts for number in range(first, last)})
    pairs = [
        re.escape(f"[{orjson.dumps(token).decode()},") + (f"({NUMBER})" if number in needed else NUMBER)
        for number, token in enumerate(tokens)
    ]
    pattern = re.compile(r"^\[" + r"\],".join(pairs) + r"\]\]$", re.MULTILINE)
    return _Layout(pattern, [(needed.index(first), needed.index(last - 1) + 1) for first, last in parts])


@lru_cache(maxsize=4096)
def _parts(tokens: tuple[str, ...], labels: tuple[str, ...]) -> list[tuple[int, int]] | None:
    """Return which of the *tokens* spell each label, as a range; None if the place of one cannot be told."""
    spelled = "".join(tokens)
    stops = list(accumulate(map(len, tokens)))
    places = [_place(spelled, label) for label in labels]
    if None in places:
        return None
    known = [place for place in places if place is not None]
    return [(bisect_right(stops, start), bisect_left(stops, stop) + 1) for start, stop in known]


def _place(text: str, label: str) -> tuple[int, int] | None:
    """Return where *label* starts and stops in *text*; the last place, as a field may be spelled like it."""
    folded = label.casefold()
    strings = [found for found in STRING.finditer(text) if _plain(found[1]) == folded]
    found = strings or list(re.finditer(re.escape(label), text, re.IGNORECASE))
    return found[-1].span(1 if strings else 0) if found else None


def _plain(string: str) -> str:
    """Return what a JSON string says, as labels are compared."""
    try:
        said = json.loads(f'"{string}"') if "\\" in string else string
    except ValueError:
        said = string
    return str(said).strip().casefold()
