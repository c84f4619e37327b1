"""The student itself: hashed words and pairs of words, weighted by rarity, and a logistic regression.

Scored on real texts it certifies as many rows as embeddings do from some 1,600 answers on, a hundred times faster, and needs
no weights of its own.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.quality.extra import library

Labels = tuple[str, ...]
"""The labels of one row; one of them for kind single."""

FEATURES = 2**18
FOLDS = 5
HALF = 0.5
"""From which chance on a text has a label, of several that it may have."""

STRENGTH = 10.0
"""Inverse strength of the regularization."""


@dataclass(frozen=True, slots=True)
class Proposals:
    """What the student would answer.

    Attributes:
        labels: Its labels for each row.
        scores: How sure it is of them, 0 to 1.
        likely: For each row, whether one of the labels that are never its own is likely there.
    """

    labels: Sequence[Labels]
    scores: NDArray[np.float64]
    likely: NDArray[np.bool_]


class Student:
    """A student that has been taught; it does not change any more."""

    def __init__(self, names: Sequence[str], *, single: bool, reserved: Sequence[str] = ()) -> None:
        """Create one that knows the labels *names*, of which it leaves *reserved* to the model."""
        text = library("sklearn.feature_extraction.text", extra="student")
        self._names, self._single = list(names), single
        self._reserved = [self._names.index(name) for name in reserved]
        self._words = text.HashingVectorizer(
            ngram_range=(1, 2), n_features=FEATURES, alternate_sign=False, norm=None
        )
        self._weights = text.TfidfTransformer(sublinear_tf=True)
        self._heads: list[Any] = []
        self._shares = np.zeros(len(names))

    def features(self, texts: Sequence[str]) -> Any:
        """Return the counted words of *texts*, for `fit` and `propose_from`."""
        return self._words.transform(texts)

    def fit(self, counted: Any, answers: Sequence[Labels]) -> "Student":
        """Learn from texts, whose words were *counted*, and the model's *answers* to them."""
        linear = library("sklearn.linear_model", extra="student")
        weighed = self._weights.fit_transform(counted)
        truth = self.indicators(answers)
        self._shares = truth.mean(axis=0)
        self._heads = []
        for column in truth.T:
            if column.all() or not column.any():
                self._heads.append(float(column[0]))
                continue
            # The dual form takes a thirtieth of the time: there are far fewer rows than words.
            head = linear.LogisticRegression(
                solver="liblinear", dual=True, C=STRENGTH, tol=1e-3, max_iter=1_000, random_state=0
            )
            self._heads.append(head.fit(weighed, column))
        return self

    def propose(self, texts: Sequence[str]) -> Proposals:
        """Return what the student would answer to *texts*."""
        return self.propose_from(self.features(texts))

    def propose_from(self, counted: Any) -> Proposals:
        """Return what the student would answer to texts whose words were *counted*."""
        chances = self.chances(counted)
        if self._single:
            best = chances.argmax(axis=1)
            labels: list[Labels] = [(self._names[index],) for index in best]
            scores = chances[np.arange(len(best)), best]
            own = np.zeros(chances.shape, bool)
            own[np.arange(len(best)), best] = True
        else:
            own = chances >= HALF
            labels = [tuple(name for name, has in zip(self._names, row, strict=True) if has) for row in own]
            scores = np.maximum(chances, 1 - chances).min(axis=1)
        # Rarer labels are never the likeliest: what is likelier than among all rows is likely enough.
        likely = np.asarray((own | (chances > self._shares))[:, self._reserved].any(axis=1), bool)
        return Proposals(labels, np.asarray(scores, np.float64), likely)

    def chances(self, counted: Any) -> NDArray[np.float64]:
        """Return how likely each label is, a row for each text and a column for each label; of kind single they add up to 1."""
        weighed = self._weights.transform(counted)
        chances = np.column_stack([self._chances(head, weighed) for head in self._heads])
        if self._single:
            chances /= np.maximum(chances.sum(axis=1, keepdims=True), 1e-12)
        return chances

    @property
    def fingerprint(self) -> str:
        """A hash of what it has learned, for people to tell two students apart."""
        digest = blake2b(digest_size=8)
        for head in self._heads:
            digest.update(repr(head).encode() if isinstance(head, float) else head.coef_.tobytes())
        return digest.hexdigest()

    def indicators(self, answers: Sequence[Labels]) -> NDArray[np.bool_]:
        """Return which labels *answers* have, a row for each and a column for each label."""
        places = {name: place for place, name in enumerate(self._names)}
        truth = np.zeros((len(answers), len(self._names)), bool)
        for row, labels in enumerate(answers):
            truth[row, [places[label] for label in labels]] = True
        return truth

    @staticmethod
    def _chances(head: Any, weighed: Any) -> NDArray[np.float64]:
        if isinstance(head, float):  # all of the rows had the label, or none
            return np.full(weighed.shape[0], head)
        found: NDArray[np.float64] = head.predict_proba(weighed)[:, 1]
        return found


def out_of_fold(
    make: Callable[[], Student], counted: Any, answers: Sequence[Labels], *, seed: int = 0
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_]]:
    """Return, for each row, score, agreement and whether it is left to the model, by students not taught by that row.

    *make* creates a student that has learned nothing yet.
    """
    scores, agree, likely = np.zeros(len(answers)), np.zeros(len(answers), bool), np.zeros(len(answers), bool)
    for held, taught in by_fold(make, counted, answers, seed=seed):
        found = taught.propose_from(counted[held])
        scores[held], likely[held] = found.scores, found.likely
        truth = [set(answers[row]) for row in held.tolist()]
        agree[held] = [set(said) == right for said, right in zip(found.labels, truth, strict=True)]
    return scores, agree, likely


def by_fold(
    make: Callable[[], Student], counted: Any, answers: Sequence[Labels], *, seed: int = 0
) -> Iterator[tuple[NDArray[np.int64], Student]]:
    """Yield rows of one fold after the other, each with a student that was taught by all rows but these."""
    folds = np.random.default_rng(seed).permutation(len(answers)) % FOLDS
    for number in range(FOLDS):
        rest = np.flatnonzero(folds != number)
        yield (
            np.flatnonzero(folds == number),
            make().fit(counted[rest], [answers[row] for row in rest.tolist()]),
        )
