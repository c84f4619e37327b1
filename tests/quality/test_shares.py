"""How often the intervals of shares hold the truth, in simulated tables with a model that is right in 82 %."""

import numpy as np
import pytest

from pipeline.quality.shares import LEAST_ROWS, shares, weighted_share

ROWS = 20_000


def trial(
    random: np.random.Generator, labels: int, rare: float, rows: int
) -> tuple[list[frozenset[str]], list[frozenset[str]], dict[str, int], list[str]]:
    """Draw a gold sample, half at random and half evenly over the labels that the model gave, and count the table."""
    names = [f"label {number}" for number in range(labels)]
    prior = np.full(labels, (1 - rare) / (labels - 1))
    prior[0] = rare
    joint = np.diag(prior * 0.82) + np.outer(prior, np.full(labels, 0.18 / labels))  # right, given
    weights = joint.sum(axis=0)
    given, gold = [], []
    for stratum, size in enumerate(random.multinomial(rows // 2, weights) + rows // 2 // labels):
        truths = random.choice(labels, size, p=joint[:, stratum] / weights[stratum])
        given += [frozenset({names[stratum]})] * size
        gold += [frozenset({names[truth]}) for truth in truths]
    counts = {name: round(ROWS * weight) for name, weight in zip(names, weights, strict=True)}
    return given, gold, counts, names


@pytest.mark.parametrize("labels", [2, 8])
@pytest.mark.parametrize("rare", [0.005, 0.02, 0.1, 0.3, 0.5])
def test_the_interval_of_a_share_holds_the_truth_in_93_of_100_samples(
    labels: int, rare: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.quality.shares.DRAWS", 1000)
    random, trials, held, naive = np.random.default_rng(1), 100, 0, 0
    for number in range(trials):
        given, gold, counts, names = trial(random, labels, rare, 200)
        found = shares(names[:1], given, gold, counts, ROWS, single=True, seed=number)[names[0]]
        assert found.low is not None
        assert found.high is not None
        held += found.low <= rare <= found.high
        naive += abs(found.naive - rare) < 1.96 * (rare * (1 - rare) / ROWS) ** 0.5
    assert held / trials >= 0.93
    if rare not in {1 / labels, 0.1}:
        assert naive == 0, "a naive count is biased, however many rows it counts"


@pytest.mark.parametrize("kind", ["single", "multi"])
def test_a_share_lies_where_the_gold_rows_say(kind: str) -> None:
    given = [frozenset("a")] * 100 + [frozenset("b")] * 100
    gold = [frozenset("a")] * 80 + [frozenset("b")] * 120
    found = shares(["a", "b"], given, gold, {"a": 600, "b": 400}, 1000, single=kind == "single")["a"]
    assert found.naive == 0.6
    assert found.share == pytest.approx(0.48, abs=0.01)
    assert found.low < 0.48 < found.high < 0.6  # type: ignore[operator]


def test_nothing_is_said_about_a_label_that_few_gold_rows_got() -> None:
    given = [frozenset("a")] * 50 + [frozenset("b")] * (LEAST_ROWS - 1)
    found = shares(["a", "b"], given, given, {"a": 50, "b": 50}, 100, single=True)
    assert found["a"].share is not None
    assert (found["b"].naive, found["b"].share, found["b"].low, found["b"].high) == (0.5, None, None, None)


def test_accuracy_over_the_table_counts_each_label_as_often_as_it_was_given() -> None:
    # Half of the gold rows got the rare label, which is right half as often.
    given = ["common"] * 100 + ["rare"] * 100
    right = [True] * 90 + [False] * 10 + [True] * 45 + [False] * 55
    found = weighted_share(right, given, {"common": 9900, "rare": 100}, 10_000)
    assert found.naive == pytest.approx(0.675)
    assert found.share == pytest.approx(0.99 * 0.9 + 0.01 * 0.45, abs=0.01)
