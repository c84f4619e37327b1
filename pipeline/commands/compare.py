"""`compare`: two configs on the same rows: where they agree, which is right more often, and what they cost. Sends nothing."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from pipeline.commands.answered import answered_rows, readable
from pipeline.commands.gold import Gold, read_gold
from pipeline.commands.gold_file import write_csv
from pipeline.config import Config
from pipeline.errors import ConfigError, NoInputError
from pipeline.inputs.subset import sample_rows
from pipeline.job.job import Job
from pipeline.quality.changes import Difference
from pipeline.quality.extra import library
from pipeline.quality.intervals import wilson
from pipeline.quality.metrics import kappa
from pipeline.quality.paired import Comparison, Side, paired
from pipeline.records import LABELLED, Answer, Outcome, Status


def compare(
    a: Config, b: Config, gold: str | None = None, *, sample: int | None = None, seed: int = 0
) -> Comparison:
    """Compare the answers that the ledgers have for the same rows of two configs.

    Args:
        a: The first config.
        b: The second.
        gold: A column of the input, or a file of id and label; by default `task.gold` of *a*, or of *b*.
        sample: Compare only so many rows, those that `run --sample` draws.
        seed: Of that draw.

    Raises:
        ConfigError: If the two do not read the same rows, or the extra `judge` is not installed.
        NoInputError: If there is no row that both have an answer to.
        PipelineError: If a config or the input is wrong.
    """
    library("sklearn.metrics")
    library("scipy.stats")
    with readable(a) as first, readable(b) as second:
        _ensure_same_rows(first, second)
        known = _gold(first, second, gold)
        only = None if sample is None else sample_rows(first.source.rows, sample, seed)
        pairs = _Pairs(known)
        pairs.read(first, second, only)
    if not pairs.labels:
        raise NoInputError(
            f"no row has an answer of both {a.path.name} and {b.path.name} yet; leave out --no-ask, or run both"
        )
    return pairs.comparison(first.config, second.config)


def ensure_comparable(a: Config, b: Config, gold: str | None = None) -> None:
    """Check all that `compare` needs, before anything is asked and paid for.

    Raises:
        PipelineError: As `compare` does.
    """
    library("sklearn.metrics")
    library("scipy.stats")
    with readable(a) as first, readable(b) as second:
        _ensure_same_rows(first, second)
        _gold(first, second, gold)


def save(found: Comparison, path: Path) -> None:
    """Write the rows on which the two differ to a CSV file that people open.

    Raises:
        CannotCreateError: If it cannot be written.
    """
    lists = ("gold", "a", "b")
    lines = [
        {name: "; ".join(value or ()) if name in lists else value for name, value in asdict(each).items()}
        for each in found.differences
    ]
    write_csv(path, lines or [dict.fromkeys(Difference.__dataclass_fields__, "")])


def _ensure_same_rows(first: Job, second: Job) -> None:
    if first.source.fingerprint == second.source.fingerprint:
        return
    places = [
        f"{job.config.path.name} reads {job.source.rows:,} rows of {job.config.input.path}"
        for job in (first, second)
    ]
    raise ConfigError(f"{places[0]}, and {places[1]}: rows are compared one by one; give both the same input")


def _gold(first: Job, second: Job, gold: str | None) -> Gold | None:
    for job in (first, second):
        if gold is not None or job.config.task.gold is not None:
            return read_gold(job, gold)
    return None


@dataclass(slots=True)
class _Pairs:
    """The compared rows, as columns of pairs."""

    gold: Gold | None
    labels: list[tuple[frozenset[str] | None, frozenset[str] | None]] = field(default_factory=list)
    right: list[tuple[bool, bool]] = field(default_factory=list)
    costs: tuple[dict[bytes, float | None], dict[bytes, float | None]] = field(
        default_factory=lambda: ({}, {})
    )
    differences: list[Difference] = field(default_factory=list)
    unanswered: int = 0
    empty: int = 0

    def read(self, first: Job, second: Job, only: Sequence[int] | None) -> None:
        column = first.config.input.id
        others = _by_row(second, only)
        for part in answered_rows(first, [column] if column else [], only=only):
            names = part.cells[column] if column else [None] * len(part.rows)
            rows = zip(part.rows, names, part.prompts.texts, part.answers, part.outcomes, strict=True)
            for row, name, text, answer, outcome in rows:
                self._add((row, name, text or ""), (answer, outcome), next(others))

    def _add(
        self,
        row: tuple[int, str | None, str],
        a: tuple[Answer | None, Outcome | None],
        b: tuple[Answer | None, Outcome | None],
    ) -> None:
        outcomes = a[1], b[1]
        if outcomes[0] is None or outcomes[1] is None:
            self.unanswered += 1
            return
        if Status.EMPTY in (outcomes[0].status, outcomes[1].status):
            self.empty += 1
            return
        for (answer, _), costs in zip((a, b), self.costs, strict=True):
            if answer is not None:
                costs[answer.key] = answer.cost_usd
        got = _labels(outcomes[0]), _labels(outcomes[1])
        self.labels.append(got)
        gold = self.gold.labels.get(row[0]) if self.gold else None
        if gold is not None:
            self.right.append((got[0] == gold, got[1] == gold))
        if got[0] != got[1]:
            wanted = None if gold is None else sorted(gold)
            sure = outcomes[0].confidence, outcomes[1].confidence
            self.differences.append(
                Difference(*row, wanted, sorted(got[0] or ()), sorted(got[1] or ()), *sure)
            )

    def comparison(self, a: Config, b: Config) -> Comparison:
        same = sum(first == second for first, second in self.labels)
        low, high = wilson(same, len(self.labels))
        names = sorted({name for pair in self.labels for labels in pair for name in labels or ()})
        found = paired(
            [first for first, _ in self.right], [second for _, second in self.right], _titles(a, b)
        )
        sides = [self._side(config, place) for place, config in enumerate((a, b))]
        return Comparison(
            rows=len(self.labels),
            unanswered=self.unanswered,
            empty=self.empty,
            agreement=same / len(self.labels),
            agreement_low=low,
            agreement_high=high,
            kappa=kappa(names, *zip(*self.labels, strict=True)),
            a=sides[0],
            b=sides[1],
            paired=found,
            words=found.words
            if found
            else "which is right more often only right labels can tell: set task.gold, or give --gold",
            differences=sorted(self.differences, key=lambda each: (-each.surprise, each.row)),
        )

    def _side(self, config: Config, place: int) -> Side:
        costs = list(self.costs[place].values())
        prices = [cost for cost in costs if cost is not None]
        right, rows = sum(pair[place] for pair in self.right), len(self.right)
        low, high = wilson(right, rows) if rows else (None, None)
        return Side(
            config=str(config.path),
            model=config.model.name or config.model.provider,
            labelled=sum(pair[place] is not None for pair in self.labels),
            accuracy=right / rows if rows else None,
            low=low,
            high=high,
            cost_usd=sum(prices) if len(prices) == len(costs) else None,
        )


def _by_row(job: Job, only: Sequence[int] | None) -> Iterator[tuple[Answer | None, Outcome | None]]:
    for part in answered_rows(job, only=only):
        yield from zip(part.answers, part.outcomes, strict=True)


def _labels(outcome: Outcome) -> frozenset[str] | None:
    return frozenset(outcome.labels) if outcome.status in LABELLED else None


def _titles(a: Config, b: Config) -> tuple[str, str]:
    """Return what to call the two in words."""
    return (a.path.name, b.path.name) if a.path.name != b.path.name else (str(a.path), str(b.path))
