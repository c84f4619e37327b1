"""Texts like people's: some words tell the label, some tell of another one as well, most tell nothing."""

import numpy as np

from tests.jobs import LABELS as NAMES

LABELS = list(NAMES)

TELLING, SHARED, COMMON = 60, 25, 400
"""Words of one label; words that it has in common with the next one; words of all."""


def wordy_rows(rows: int, *, words: int = 14, seed: int = 0) -> tuple[list[str], list[str]]:
    """Return texts of about so many *words*, and the label of each; words are as rare as in a language (Zipf)."""
    random = np.random.default_rng(seed)
    names = random.choice(LABELS, rows)
    return [_text(random, LABELS.index(name), words) for name in names], names.tolist()


def _text(random: np.random.Generator, label: int, words: int) -> str:
    following = (label + 1) % len(LABELS)
    kinds = [
        (f"own{label}", TELLING),
        (f"both{label}", SHARED),
        (f"both{following}", SHARED),
        ("any", COMMON),
    ]
    chosen = random.choice(len(kinds), random.poisson(words) + 4, p=[0.25, 0.08, 0.08, 0.59])
    return " ".join(f"{kinds[kind][0]}x{_rank(random, kinds[kind][1])}" for kind in chosen)


def _rank(random: np.random.Generator, most: int) -> int:
    return int(most ** random.random())
