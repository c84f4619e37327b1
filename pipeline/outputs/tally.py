"""Counts over the rows of the output, for the summary and the report."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.outputs.columns import ASKED, CARRIED, DUPLICATE, ESCALATED, SOURCE, STUDENT
from pipeline.outputs.notable import Floats, Notable
from pipeline.records import LABELLED, NOT_FAILED, Status
from pipeline.tasks.gold import Agreement

_ASKED = pa.array(ASKED, pa.string())

_NOT_JUDGED = frozenset({Status.SKIPPED.value, Status.EMPTY.value})
"""Statuses of rows that nothing was asked about."""

GOLD = ""
"""The name, no column's of ours, under which the right labels stand beside the new columns."""

ROWS_AT_ONCE = 4_096
"""Rows may wait to be counted until there are so many."""

BINS = 20
"""Parts of the scale of confidence, 0 to 1, whose rows are counted."""


@dataclass(slots=True)
class Tally:
    """Counts the rows of an output as they are written.

    Attributes:
        run: Id of the run whose tokens and costs are counted; answers of earlier runs count as reused.
        members: Ids of the runs of its slices, whose tokens and costs are counted, too.
        rows: Number of rows, without those that `input.where` excludes.
        duplicates: Rows that repeat an earlier row's key.
        student: Rows that the student has answered, those that repeat others aside.
        escalated: Rows that a second model has decided about, those that repeat others aside.
        carried: Rows whose labels an earlier config has found, those that repeat others aside.
        reused: Rows whose answer was paid for by an earlier run.
        truncated: Rows whose text was cut.
        prompt_tokens: Tokens that *run* was billed for its prompts.
        cached_tokens: Those of them that the provider read from its cache.
        completion_tokens: Tokens that *run* was billed for replies.
        statuses: Number of rows by status.
        labels: Number of rows by label.
        errors: One error sentence for each status that has some.
        gold: Counts the rows that are right; None where no column says so.
        confidences: Number of rows in each bin of the scale of confidence, from 0 up.
        notable: Which rows are worth reading.
        remarks: What readers of the output ought to know of it: sentences, as keys in order.
    """

    run: str
    members: Sequence[str] = ()
    rows: int = 0
    duplicates: int = 0
    student: int = 0
    escalated: int = 0
    carried: int = 0
    reused: int = 0
    truncated: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)
    errors: dict[str, str] = field(default_factory=dict)
    gold: Agreement | None = None
    remarks: dict[str, None] = field(default_factory=dict)
    confidences: list[int] = field(default_factory=lambda: [0] * BINS)
    notable: Notable = field(default_factory=Notable)
    _waiting: list[pa.Table] = field(default_factory=list)
    _rows_waiting: int = 0
    _priced: int = 0
    _unpriced: int = 0
    _cost_usd: float = 0.0
    _confidence: float = 0.0

    def add(self, columns: pa.Table) -> None:
        """Count rows, given their new *columns*, whose names have no prefix, and that of the right labels."""
        status, source = columns["label_status"], columns[SOURCE]
        repeats = pc.equal(source, DUPLICATE)
        self.duplicates += pc.sum(repeats).as_py() or 0
        self.student += pc.sum(pc.equal(source, STUDENT)).as_py() or 0
        self.escalated += pc.sum(pc.equal(source, ESCALATED)).as_py() or 0
        self.carried += pc.sum(pc.equal(source, CARRIED)).as_py() or 0
        self.truncated += pc.sum(columns["label_truncated"]).as_py() or 0
        counts = _counts(status)
        self.rows += len(status) - counts.get(Status.SKIPPED.value, 0)
        self.statuses.update(counts)
        is_single = "label" in columns.column_names
        self.labels.update(_counts(columns["label"] if is_single else pc.list_flatten(columns["labels"])))
        self._bill(columns, source)
        self._keep_errors(columns)
        if self.gold is not None:
            self._judge(self.gold, columns)
        sureness = self._count_confidences(columns["label_confidence"])
        sureness = np.where(
            pc.fill_null(repeats, fill_value=False).to_numpy(zero_copy_only=False), np.nan, sureness
        )
        self.notable.add(status, set(counts) - NOT_FAILED, sureness)

    def _count_confidences(self, column: pa.ChunkedArray) -> Floats:
        """Count the rows of *column* by confidence, and return it; NaN where it is null."""
        sureness: Floats = column.to_numpy(zero_copy_only=False)
        known = sureness[~np.isnan(sureness)] if column.null_count else sureness
        bins = np.minimum((known * BINS).astype(np.int64), BINS - 1)
        counts = np.bincount(bins, minlength=BINS)
        self.confidences = [before + int(more) for before, more in zip(self.confidences, counts, strict=True)]
        self._confidence += float(known.sum())
        return sureness

    def add_soon(self, columns: pa.Table) -> None:
        """Count rows by and by, many at once: each of them costs little, and each call much. `settle` counts the rest."""
        self._waiting.append(columns)
        self._rows_waiting += len(columns)
        if self._rows_waiting >= ROWS_AT_ONCE:
            self.settle()

    def settle(self) -> None:
        """Count the rows that wait."""
        waiting, self._waiting, self._rows_waiting = self._waiting, [], 0
        if len(waiting) > 1:  # copied, since a column in many pieces costs each look at it much
            self.add(pa.concat_tables(waiting).combine_chunks())
        elif waiting:
            self.add(waiting[0])

    def remark(self, sentences: Iterable[str]) -> None:
        """Keep *sentences* for the readers of the output, each once."""
        self.remarks |= dict.fromkeys(sentences)

    def _bill(self, columns: pa.Table, source: pa.ChunkedArray) -> None:
        asked = pc.is_in(source, value_set=_ASKED)
        runs = pa.array([self.run, *self.members], pa.string())
        mine = pc.and_(asked, pc.is_in(columns["label_run"], value_set=runs))
        mine = pc.fill_null(mine, fill_value=False)
        self.reused += (pc.sum(asked).as_py() or 0) - (pc.sum(mine).as_py() or 0)
        for name in ("prompt_tokens", "cached_tokens", "completion_tokens"):
            total = pc.sum(columns[name].filter(mine)).as_py() or 0
            setattr(self, name, getattr(self, name) + total)
        costs = columns["cost_usd"].filter(mine)
        self._priced += len(costs) - costs.null_count
        self._unpriced += costs.null_count
        self._cost_usd += pc.sum(costs).as_py() or 0.0

    def _judge(self, gold: Agreement, columns: pa.Table) -> None:
        """Count the rows that are right; unsure ones never are."""
        labels = columns["label" if "label" in columns.column_names else "labels"].to_pylist()
        cells = columns[GOLD] if pa.types.is_nested(columns[GOLD].type) else columns[GOLD].cast(pa.string())
        rows = zip(columns["label_status"].to_pylist(), labels, cells.to_pylist(), strict=True)
        gold.add(
            (([found] if isinstance(found, str) else found) if status == Status.OK else None, cell)
            for status, found, cell in rows
            if status not in _NOT_JUDGED
        )

    def _keep_errors(self, columns: pa.Table) -> None:
        """Keep the first error sentence of each status that has some."""
        for status in set(self.statuses) - set(self.errors) - NOT_FAILED:
            found = columns["label_error"].filter(pc.equal(columns["label_status"], status))
            if len(found):
                self.errors[status] = found[0].as_py()

    @property
    def cost_usd(self) -> float | None:
        """US dollars that the run was billed; None if it was billed and no price is known."""
        return None if self._unpriced and not self._priced else self._cost_usd

    @property
    def ok(self) -> int:
        """Rows with labels."""
        return self.statuses[Status.OK.value]

    @property
    def labelled(self) -> int:
        """Rows with labels, those that are unsure among them."""
        return sum(self.statuses[status.value] for status in LABELLED)

    @property
    def empty(self) -> int:
        """Rows without text."""
        return self.statuses[Status.EMPTY.value]

    @property
    def unsure(self) -> int:
        """Rows with labels that are not sure enough."""
        return self.statuses[Status.UNSURE.value]

    @property
    def pending(self) -> int:
        """Rows without an answer yet."""
        return self.statuses[Status.PENDING.value]

    @property
    def skipped(self) -> int:
        """Rows that are not in `rows`."""
        return self.statuses[Status.SKIPPED.value]

    @property
    def failed(self) -> int:
        """Rows with text but without labels."""
        return sum(count for status, count in self.statuses.items() if status not in NOT_FAILED)

    @property
    def mean_confidence(self) -> float | None:
        """Mean of the confidence of all rows that have one; None if none has."""
        known = sum(self.confidences)
        return self._confidence / known if known else None

    def as_dict(self) -> dict[str, Any]:
        """Return the counts for the report."""
        return {
            "statuses": dict(self.statuses.most_common()),
            "labels": dict(self.labels.most_common()),
            "errors": self.errors,
            "truncated": self.truncated,
            "confidence": {"mean": self.mean_confidence, "bins": self.confidences},
            "notable": {"failed": self.notable.failed, "least_sure": self.notable.least_sure},
        }


def _counts(values: pa.ChunkedArray) -> dict[str, int]:
    found = pc.value_counts(values.drop_null())
    return dict(zip(found.field("values").to_pylist(), found.field("counts").to_pylist(), strict=True))
