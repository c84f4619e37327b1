"""How right the labels of a job are: the value of `evaluate`, computed from the rows whose right labels are known."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from pipeline.quality.intervals import wilson
from pipeline.quality.judged import JudgedRows
from pipeline.quality.metrics import Confusion, LabelScore, score
from pipeline.quality.reliability import Bin, Floor, reliability
from pipeline.quality.shares import Share, shares, weighted_share


@dataclass(frozen=True, slots=True)
class TableCounts:
    """How many rows of the whole table have labels, and how many have each of them."""

    rows: int
    labels: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Mistake:
    """A row that got a wrong label.

    Attributes:
        row: Its index.
        id: Its id; None without `input.id`.
        text: What the model read.
        gold: The right labels.
        label: Those that it got.
        confidence: How sure they are.
    """

    row: int
    id: str | None
    text: str
    gold: list[str]
    label: list[str]
    confidence: float | None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How right the labels are.

    Attributes:
        kind: `single` or `multi`.
        gold: Where the right labels are from.
        rows: Rows with a right label and an answer: those that are judged.
        coverage: Share of them with a label that counts: neither failed nor unsure.
        right: Rows with the right label, of kind multi with exactly the right ones. Failed and unsure rows are none.
        accuracy: Share of `rows` that is right.
        accuracy_low: Lower end of its 95 % interval (Wilson).
        accuracy_high: Upper end.
        accuracy_covered: Share of the rows with a label that counts that is right; None without any.
        accuracy_table: Accuracy over all labelled rows of the table, estimated: labels count as often as the model gave them,
            however often gold has them; None where that is not known.
        macro_f1: Mean F1 of the labels that occur.
        micro_f1: F1 over all labels of all rows together.
        weighted_f1: Mean F1, weighted by support.
        kappa: Cohen's kappa; None where it is undefined.
        mcc: Matthews' correlation coefficient.
        hamming: Share of wrong decisions whether a row has a label; kind multi only.
        jaccard: Mean overlap of given and right labels; kind multi only.
        ece: Expected calibration error of the confidences, those of unsure rows too; None without confidences.
        ece_floor: What a perfect forecaster would show by chance.
        brier: Mean squared error of the confidences.
        calibrated: Whether the confidences are calibrated ones.
        reliability: Mean confidence and share of right rows, from the least sure on.
        labels: Precision, recall, F1 and support of each label.
        confusion: The confusion matrix; kind single only.
        shares: The share of each label in the table: counted, and corrected by gold.
        mistakes: The surest wrong rows.
        statuses: How many of `rows` have each status.
        cost_per_1000_right_usd: What a thousand right labels cost; None if no price is known, or nothing is right.
        unknown_gold: Right labels that the task does not know, with their rows: of kind single these are wrong whatever they
            got, of kind multi their other right labels count.
        unanswered: Rows with a right label that have no answer yet, and are not judged.
        empty: Rows with a right label and no text, which are never asked about, nor judged.
        remarks: What else is to be said.
    """

    kind: str
    gold: str
    rows: int
    coverage: float
    right: int
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    accuracy_covered: float | None
    accuracy_table: Share | None
    macro_f1: float | None
    micro_f1: float | None
    weighted_f1: float | None
    kappa: float | None
    mcc: float | None
    hamming: float | None
    jaccard: float | None
    ece: float | None
    ece_floor: Floor | None
    brier: float | None
    calibrated: bool
    reliability: list[Bin]
    labels: dict[str, LabelScore]
    confusion: Confusion | None
    shares: dict[str, Share]
    mistakes: list[Mistake]
    statuses: dict[str, int]
    cost_per_1000_right_usd: float | None
    unknown_gold: dict[str, int]
    unanswered: int
    empty: int
    remarks: list[str]

    def as_dict(self) -> dict[str, Any]:
        """Return the fields by name, in order, as JSON has them."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What an evaluation says beside its measures: see `Evaluation` for the fields of the same names."""

    kind: str
    gold: str
    calibrated: bool
    mistakes: list[Mistake]
    cost_usd: float | None
    unknown_gold: dict[str, int]
    unanswered: int
    empty: int
    remarks: list[str]


def evaluation(
    names: Sequence[str], judged: JudgedRows, table: TableCounts | None, about: Circumstances
) -> Evaluation:
    """Return how right *judged* rows are, at least one.

    Args:
        names: The task's labels.
        judged: The rows.
        table: Counts over the whole table; None if they are unknown.
        about: What else is to be said.
    """
    single, rows, given = about.kind == "single", len(judged.gold), judged.counting
    every = [*names, *(name for name in about.unknown_gold if single and name not in names)]
    scores = score(every, given, judged.gold, single=single)
    low, high = wilson(scores.right, rows)
    covered = sum(labels is not None for labels in given)
    sure = reliability(*judged.sure_and_right())
    cost = (
        about.cost_usd if about.cost_usd is None or not scores.right else 1000 * about.cost_usd / scores.right
    )
    return Evaluation(
        rows=rows,
        coverage=covered / rows,
        accuracy=scores.right / rows,
        accuracy_low=low,
        accuracy_high=high,
        accuracy_covered=scores.right / covered if covered else None,
        accuracy_table=_accuracy_of_table(judged, table) if single and table else None,
        ece=sure.ece if sure else None,
        ece_floor=sure.floor if sure else None,
        brier=sure.brier if sure else None,
        reliability=sure.table if sure else [],
        shares=_shares(every, judged, table, single=single) if table else {},
        statuses=dict(Counter(map(str, judged.statuses)).most_common()),
        cost_per_1000_right_usd=cost if scores.right else None,
        **_fields(scores),
        **{name: value for name, value in _fields(about).items() if name != "cost_usd"},
    )


def _fields(value: Any) -> dict[str, Any]:
    return {each.name: getattr(value, each.name) for each in fields(value)}


def _shares(
    names: Sequence[str], judged: JudgedRows, table: TableCounts, *, single: bool
) -> dict[str, Share]:
    given, gold = judged.labelled()
    return shares(names, given, gold, table.labels, table.rows, single=single)


def _accuracy_of_table(judged: JudgedRows, table: TableCounts) -> Share:
    given, gold = judged.labelled()
    right = [got == wanted for got, wanted in zip(given, gold, strict=True)]
    return weighted_share(right, [next(iter(got), "") for got in given], table.labels, table.rows)
