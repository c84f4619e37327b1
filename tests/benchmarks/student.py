"""What the student is worth on a real table, a column of it standing for the model: coverage, savings, kept promises.

    python tests/benchmarks/student.py TABLE --text summary,description --label section --answers 1600 --seeds 20
    python tests/benchmarks/student.py TABLE ... --labels games,sound,... --noise 0.1

Each seed takes other answered rows, another audit and, with `--noise`, another model. No request is sent, and the journey
is not in it: teaching, scores, thresholds, coins and certificate are the product's.
"""

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pipeline.engine.student.night import LEAST_ROOM
from pipeline.student.certificate import Tier, certify
from pipeline.student.coin import draw_secret, toss
from pipeline.student.model import Student, out_of_fold
from pipeline.student.thresholds import candidates

LONGEST = 400
"""Characters of a text that the student reads."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What one seed has come to; shares are of the new rows."""

    certified: float = 0.0
    saved: float = 0.0
    wrong: float = 0.0
    word: str = "refused"


@dataclass(frozen=True, slots=True)
class Table:
    """A table whose words are counted."""

    counted: Any
    labels: list[str]
    names: list[str]


def read(path: Path, texts: list[str], label: str, names: list[str]) -> Table:
    """Read the rows whose label is one of *names*, all if there are none."""
    frame = pl.read_parquet(path).filter(pl.col(label).is_not_null())
    if names:
        frame = frame.filter(pl.col(label).is_in(names))
    lines = frame.select(pl.concat_str(texts, separator="\n", ignore_nulls=True).str.head(LONGEST))
    labels = frame[label].to_list()
    known = sorted(set(labels))
    counted = Student(known, single=True).features(lines.to_series().to_list())
    return Table(counted, labels, known)


@dataclass(frozen=True, slots=True)
class Taught:
    """What a student makes of the new rows."""

    scores: NDArray[np.float64]
    right: NDArray[np.bool_]
    thresholds: Sequence[float]


def teach(table: Table, seed: int, given: argparse.Namespace) -> Taught:
    """Teach a student by some of the rows, and have it label the others."""
    random = np.random.default_rng(seed)
    said = list(table.labels)
    for row in np.flatnonzero(random.random(len(said)) < given.noise):
        said[row] = table.names[random.integers(len(table.names))]
    order = random.permutation(len(said))
    old, new = order[: given.answers], order[given.answers :]
    answers = [(said[row],) for row in old.tolist()]
    make = partial(Student, table.names, single=True)
    scores, agree, _ = out_of_fold(make, table.counted[old], answers)
    thresholds = candidates(scores, agree, given.target)
    found = make().fit(table.counted[old], answers).propose_from(table.counted[new])
    right = np.array([one[0] == said[row] for one, row in zip(found.labels, new.tolist(), strict=True)])
    return Taught(found.scores, right, thresholds)


def audited(taught: Taught, given: argparse.Namespace) -> Trial:
    """Audit the new rows, and certify."""
    scores, right, thresholds = taught.scores, taught.right, taught.thresholds
    if not thresholds:
        return Trial(word="no threshold")
    sure = scores >= thresholds[-1]
    if sure.sum() < LEAST_ROOM * given.audits:
        return Trial(word="too few")
    secret, share = draw_secret(), given.audits / max(1, sure.sum())
    asked = np.array([toss(row.to_bytes(16, "big"), secret) < share for row in range(len(scores))]) & sure
    tiers = [
        Tier(each, int((inside := scores >= each).sum()), int((asked & inside).sum()), int((asked & inside & ~right).sum()))
        for each in thresholds
    ]  # fmt: skip
    tier = certify(tiers, given.target, given.delta).tier
    if tier is None:
        return Trial()
    inside = scores >= tier.threshold
    local = inside & ~asked
    return Trial(float(inside.mean()), float(local.mean()), float((~right[local]).mean()), "certified")


def main() -> None:
    """Print what all seeds have come to."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("table", type=Path)
    parser.add_argument("--text", default="summary,description", help="columns, joined by line breaks")
    parser.add_argument("--label", default="section")
    parser.add_argument("--labels", default="", help="only rows with these")
    parser.add_argument("--answers", type=int, default=1_600)
    parser.add_argument("--audits", type=int, default=600)
    parser.add_argument("--target", type=float, default=0.95)
    parser.add_argument("--delta", type=float, default=0.05)
    parser.add_argument("--noise", type=float, default=0.0, help="share of the answers that are random")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument(
        "--splits", type=int, help="students, each audited several times; by default one a seed"
    )
    given = parser.parse_args()
    table = read(given.table, given.text.split(","), given.label, list(filter(None, given.labels.split(","))))
    trials: list[Trial] = []
    for split in range(given.splits or given.seeds):
        taught = teach(table, split, given)
        trials += [audited(taught, given) for _ in range(given.seeds // (given.splits or given.seeds))]
    broken = sum(each.wrong > 1 - given.target for each in trials)
    print(
        f"{len(table.labels):,} rows, {len(table.names)} labels, {given.answers:,} answers, {given.audits:,} audits, "
        f"target {given.target}, noise {given.noise}: certified {np.mean([each.certified for each in trials]):.3f}, "
        f"saved {np.mean([each.saved for each in trials]):.3f}, broken {broken} of {given.seeds}, "
        f"{dict(Counter(each.word for each in trials))}"
    )


if __name__ == "__main__":
    main()
