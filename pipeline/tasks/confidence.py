"""Confidence in an answer's labels, computed from the probabilities of its tokens."""

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

from pipeline.tasks.spelling import find_last, fold

MOST_CACHED = 1_000
"""Number of replies whose layout is cached; a task with few labels has few different replies."""

LONGEST_CACHED = 2_000
"""Most characters, in a reply and its log-probabilities together, for its layout to be cached."""

STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')
"""A JSON string; the group is its content."""

FIELD = re.compile(r'"\s*labels?\s*"\s*:', re.IGNORECASE)
"""The field that an answer is in."""

NUMBER = r"[-+.0-9eE]+"


class _Layout(NamedTuple):
    """Where the numbers of the labels' tokens are in the serialized log-probabilities of a reply.

    Attributes:
        pattern: Matches a line with the same tokens; its groups are the numbers of the tokens that spell labels.
        parts: The range of those groups that belongs to each label; empty if the labels cannot be located.
    """

    pattern: re.Pattern[str]
    parts: Sequence[tuple[int, int]]


class Confidence:
    """Computes confidences; caches where the labels are in each reply.

    A repeated reply mostly consists of the same tokens, so that one regular expression finds the numbers between them,
    in a third of the time that it takes to parse the JSON and to locate the labels.
    """

    def __init__(self) -> None:
        self._layouts: dict[str, _Layout] = {}

    @property
    def cached(self) -> int:
        """Number of replies whose layout is cached."""
        return len(self._layouts)

    def of_all(
        self, texts: Sequence[str | None], logprobs: Sequence[str | None], labels: Sequence[tuple[str, ...]]
    ) -> list[float | None]:
        """Compute the confidence of each reply, as `of` does; None without labels or log-probabilities."""
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
        """Compute the confidences of one reply from several log-probabilities, in one search over all of them."""
        first = self.of(text, lines[0], labels)  # caches the layout
        layout = self._layouts.get(text)
        # JSON escapes line ends within tokens, so a match never spans two lines.
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
        """Return the probability, 0 to 1, that the model gave to *labels*; of several, the lowest.

        None if there is no label, or if one of them cannot be located.

        Args:
            text: The reply.
            logprobs: JSON array of [token, natural log of its probability] over the whole reply.
            labels: The labels parsed from the reply; the same reply always has the same ones.
        """
        layout = self._layouts.get(text)
        if layout and (found := layout.pattern.fullmatch(logprobs)):
            return _weakest(layout.parts, list(map(float, found.groups())))
        pairs = orjson.loads(logprobs)
        # A server that enforces a grammar may normalize the reply: the tokens then differ from it in white space.
        tokens = tuple([token for token, _ in pairs])
        parts = _parts(tokens, labels) or ()
        if not layout and self.cached < MOST_CACHED and len(text) + len(logprobs) <= LONGEST_CACHED:
            self._layouts[text] = _layout(tokens, parts)
        return _weakest(parts, [value for _, value in pairs])


def _by_row(
    function: Callable[[Sequence[float]], float], columns: Sequence[Sequence[float]]
) -> Sequence[float]:
    """Apply *function*, `sum` or `min`, to each row; a single column is returned as it is."""
    return columns[0] if len(columns) == 1 else list(map(function, zip(*columns, strict=True)))


def _weakest(parts: Sequence[tuple[int, int]], values: Sequence[float]) -> float | None:
    if not parts:
        return None
    logarithm = min([sum(values[first:last]) for first, last in parts])
    return exp(logarithm) if logarithm < 0.0 else 1.0


def _layout(tokens: Sequence[str], parts: Sequence[tuple[int, int]]) -> _Layout:
    """Make the layout of *tokens*, whose *parts* spell labels, as the ledger serializes log-probabilities."""
    needed = sorted({number for first, last in parts for number in range(first, last)})
    pairs = [
        re.escape(f"[{orjson.dumps(token).decode()},") + (f"({NUMBER})" if number in needed else NUMBER)
        for number, token in enumerate(tokens)
    ]
    pattern = re.compile(r"^\[" + r"\],".join(pairs) + r"\]\]$", re.MULTILINE)
    return _Layout(pattern, [(needed.index(first), needed.index(last - 1) + 1) for first, last in parts])


@lru_cache(maxsize=4096)
def _parts(tokens: tuple[str, ...], labels: tuple[str, ...]) -> list[tuple[int, int]] | None:
    """Return the range of *tokens* that spells each label, or None if one cannot be located."""
    spelled = "".join(tokens)
    stops = list(accumulate(map(len, tokens)))
    spans = [_locate(spelled, label) for label in labels]
    if None in spans:
        return None
    known = [span for span in spans if span is not None]
    return [(bisect_right(stops, start), bisect_left(stops, stop) + 1) for start, stop in known]


def _locate(text: str, label: str) -> tuple[int, int] | None:
    """Return where the answer *label* starts and stops in *text*: first after its field, or where it last occurs."""
    folded = fold(label)
    # Thoughts before the field and reasons beside it may name the label, too.
    field = [found.end() for found in FIELD.finditer(text)][-1:] or [0]
    strings = [found for found in STRING.finditer(text, field[0]) if _plain(found[1]) == folded]
    if strings:
        return strings[0 if field[0] else -1].span(1)
    return find_last(text, label)


def _plain(string: str) -> str:
    """Decode the content of a JSON string and normalize it, as labels are compared."""
    try:
        decoded = json.loads(f'"{string}"') if "\\" in string else string
    except ValueError:
        decoded = string
    return fold(str(decoded))
