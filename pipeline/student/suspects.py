"""Answered rows that are probably mislabelled, and pairs of rows that are nearly alike and have different labels.

What a student says of a row that it was not taught by is a second opinion for nothing. Errors that the model makes in all
rows of a kind are learned, too, and never show.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.quality.extra import library
from pipeline.student.model import HALF, Labels, Student, by_fold

BANDS, HASHES = 6, 4
"""Rows come together if all hashes of a band are equal: 996 of 1,000 pairs with `ALIKE` of 0.9, 96 of 100 with 0.8."""

ALIKE = 0.8
"""Share of words and pairs of words, of those that either row has, that near-duplicates have in common."""


class Suspect(NamedTuple):
    """A row that is probably mislabelled.

    Attributes:
        place: Which of the rows.
        proposed: The labels that it should have for all that the others tell.
        score: How much likelier these are, 0 to 1; kind multi: how unlikely the least likely label is, or what is missing.
        near: The most alike row that has other labels; None if none has a word in common.
    """

    place: int
    proposed: Labels
    score: float
    near: int | None


class Pair(NamedTuple):
    """Two rows that are nearly alike, and how much so, 0 to 1."""

    one: int
    other: int
    alike: float


def suspects(
    make: Callable[[], Student], names: Sequence[str], counted: Any, given: Sequence[Labels], *, top: int, single: bool
) -> list[Suspect]:  # fmt: skip
    """Return the *top* rows whose *given* labels are least likely, the least likely first.

    Args:
        make: Creates a student that has learned nothing yet.
        names: The labels that it knows, in its order.
        counted: The rows, as `Student.features` counts them.
        given: Their labels.
        top: How many are wanted.
        single: Whether each row has one label.
    """
    chances = np.zeros((len(given), len(names)))
    for held, taught in by_fold(make, counted, given):
        chances[held] = taught.chances(counted[held])
    has = make().indicators(given)
    if single:
        proposed = chances == chances.max(axis=1, keepdims=True)
        scores = chances.max(axis=1) - np.where(has, chances, 0).sum(axis=1)
    else:
        proposed = chances >= HALF
        scores = 1 - np.where(has, chances, 1 - chances).min(axis=1)
    scores[(proposed == has).all(axis=1)] = 0
    places = [place for place in np.argsort(-scores, kind="stable")[:top].tolist() if scores[place] > 0]
    near = _nearest(counted, given, places)
    return [
        Suspect(
            place, tuple(name for name, own in zip(names, proposed[place], strict=True) if own),
            float(scores[place]), near[place],
        )
        for place in places
    ]  # fmt: skip


def _nearest(counted: Any, given: Sequence[Labels], places: Sequence[int]) -> dict[int, int | None]:
    """Return for each of *places* the row that is most like it among those with other labels, rare words counting more."""
    weights = library("sklearn.feature_extraction.text", extra="student").TfidfTransformer(sublinear_tf=True)
    weighed = weights.fit_transform(counted)
    kinds = _kinds(given)
    found: dict[int, int | None] = {}
    for place in places:
        alike = (weighed @ weighed[place].T).toarray().ravel()
        alike[kinds == kinds[place]] = 0
        best = int(alike.argmax())
        found[place] = best if alike[best] > 0 else None
    return found


def near_pairs(counted: Any, given: Sequence[Labels], *, top: int, seed: int = 0) -> list[Pair]:
    """Return the *top* pairs of rows that are nearly alike and whose *given* labels differ, the most alike first.

    It takes as long as there are rows, not pairs of rows: of many that are alike, neighbours in the order of their labels are
    compared, which finds each pair of labels.
    """
    rows = np.flatnonzero(np.diff(counted.indptr))  # rows with a word
    if not len(rows):
        return []
    random, kinds = np.random.default_rng(seed), _kinds(given)
    pairs: set[tuple[int, int]] = set()
    for _ in range(BANDS):
        band = np.column_stack([_lowest(counted, rows, random) for _ in range(HASHES)])
        order = np.lexsort((kinds[rows], *band.T))
        before, after = order[:-1], order[1:]
        met = (band[before] == band[after]).all(axis=1) & (kinds[rows[before]] != kinds[rows[after]])
        ends = np.sort(np.column_stack([rows[before[met]], rows[after[met]]]), axis=1)
        pairs.update((int(one), int(other)) for one, other in ends)
    found = sorted(pairs)
    if not found:
        return []
    alike = _jaccard(counted, *np.array(found).T)
    best = [place for place in np.argsort(-alike, kind="stable")[:top].tolist() if alike[place] >= ALIKE]
    return [Pair(found[place][0], found[place][1], float(alike[place])) for place in best]


def _lowest(counted: Any, rows: NDArray[np.int64], random: np.random.Generator) -> NDArray[np.uint64]:
    """Return the lowest hash of the words of each row: two rows have the same one as often as they are alike."""
    factor, shift = random.integers(1, 2**63, 2, dtype=np.uint64)
    hashed = counted.indices.astype(np.uint64) * (factor | np.uint64(1)) + shift  # modulo 2**64
    hashed ^= hashed >> np.uint64(31)
    hashed *= np.uint64(0x9E3779B97F4A7C15)
    lowest: NDArray[np.uint64] = np.minimum.reduceat(hashed, counted.indptr[rows])
    return lowest


def _jaccard(counted: Any, one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.float64]:
    has = counted.astype(bool).astype(np.int32)
    sizes = np.diff(counted.indptr)
    shared = np.asarray(has[one].multiply(has[other]).sum(axis=1)).ravel()
    return np.asarray(shared / (sizes[one] + sizes[other] - shared), np.float64)


def _kinds(given: Sequence[Labels]) -> NDArray[np.int64]:
    """Return a number for each row, the same for the same labels in whatever order."""
    numbers: dict[frozenset[str], int] = {}
    return np.array([numbers.setdefault(frozenset(labels), len(numbers)) for labels in given], np.int64)
