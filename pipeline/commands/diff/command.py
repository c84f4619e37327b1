"""`diff`: what a change of the labels touches, and what it costs, without sending anything."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from math import ceil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa

from pipeline.commands.diff.wording import wording
from pipeline.commands.plan.bills import Bills, lent_by
from pipeline.commands.plan.command import Plan, plan
from pipeline.config import Config
from pipeline.engine.carrying.old import OldAnswers
from pipeline.engine.student.attempt import LEAST_ROOM
from pipeline.engine.student.known import stand_ins
from pipeline.inputs.read import read_chunks
from pipeline.inputs.source import all_spans
from pipeline.job.job import Job
from pipeline.job.prepare import brought_in, prepare
from pipeline.job.previous import ensure_comparable, only_renamed, previous_of
from pipeline.ledger import opened
from pipeline.ledger.store import Store
from pipeline.outputs.duplicates import Duplicates
from pipeline.records import Answer, Answers, Prompts
from pipeline.student.missed import drawn
from pipeline.student.store import FORCED, MERGED, PLAIN
from pipeline.student.taxonomy import Change, Taxonomy
from pipeline.tasks.tokens import estimate_tokens

NEW = -1
"""The kind of prompts that had no labels."""


@dataclass(frozen=True, slots=True)
class Line:
    """One change, or all of them.

    Attributes:
        kind: What kind of change it is.
        what: The labels, or the settings.
        rows: The rows that it touches; None if any row may change.
        forced: Requests about rows that must change, a row's other changes aside.
        audits: Requests to find out whether others change.
        cost_usd: What these cost, estimated as `plan` does; None if no price is known.
    """

    kind: str
    what: str
    rows: int | None
    forced: int
    audits: int
    cost_usd: float | None


@dataclass(frozen=True, slots=True)
class Diff:
    """What a change of the labels touches and costs.

    Attributes:
        old: The config as it was.
        new: The config as it is.
        rows: Rows of the input.
        carried: Prompts whose labels could stay.
        renamed: Whether names have changed and nothing else has, so that they do stay.
        changes: A line for each change.
        total: All changes together, with the prompts that had no labels; what a run with `--from` sends if its audit passes.
        everything: What a run without it sends.
        cost_source: Where the price is from; None if none is known.
        remarks: What there is to know besides: sentences.
    """

    old: str
    new: str
    rows: int
    carried: int
    renamed: bool
    changes: list[Line]
    total: Line
    everything: Line
    cost_source: str | None
    remarks: list[str]

    def as_dict(self) -> dict[str, Any]:
        """Return the fields, in order."""
        return asdict(self)


def diff(old: Config, new: Config) -> Diff:
    """Compare the question of *new* with that of *old*, and count what `run --from` would ask.

    Raises:
        PipelineError: If one of them is wrong, or they ask about other texts.
    """
    ensure_comparable(old, new)
    with TemporaryDirectory(prefix="pipeline-diff-") as folder:
        job = brought_in(prepare(new, copies=Path(folder)), Path(folder))
        counts = _Counts(OldAnswers(previous_of(old)), job)
        counts.read(Path(folder))
    return counts.told(plan(new, lent=counts.bills, carries=False))


@dataclass(slots=True)
class _Counts:
    """Counts rows and prompts."""

    old: OldAnswers
    job: Job
    taxonomy: Taxonomy = field(init=False)
    bills: Bills | None = field(init=False)
    rows: Counter[Change] = field(default_factory=Counter)
    forced: Counter[Change] = field(default_factory=Counter)
    kinds: Counter[int] = field(default_factory=Counter)
    tokens: Counter[int] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.taxonomy = Taxonomy(self.old.asked.config.task, self.job.config.task)
        self.bills = lent_by(self.old.asked, self.job)

    def read(self, folder: Path) -> None:
        """Read the input twice: which prompts repeat is known at the end only."""
        job = self.job
        with Duplicates(folder, job.source.rows) as duplicates, ExitStack() as stack:
            for first_row, prompts in _prompts(job):
                duplicates.add(first_row, pa.array(prompts.keys, pa.binary(16)))
            duplicates.finish()
            before = stack.enter_context(opened(self.old.asked.config.state.dir))
            now = stack.enter_context(opened(job.config.state.dir))
            for first_row, prompts in _prompts(job):
                repeats = duplicates.among(first_row, len(prompts)).to_pylist()
                self._count(prompts, repeats, before, now)

    def _count(
        self, prompts: Prompts, repeats: Sequence[bool], before: Store | None, now: Store | None
    ) -> None:
        wanted = self.old.wanted(prompts)
        known = _looked_up(before, wanted.keys)
        found = self.old.labels(wanted, known)
        self._learn(
            prompts, repeats, {wanted.new[key]: each for key, each in known.under(wanted.aliases).items()}
        )
        answered = _answered(self.job, prompts, now)
        for key, text, again in zip(prompts.keys, prompts.texts, repeats, strict=True):
            if key is None:
                continue
            labels = found[key].labels if key in found else None
            about = [each for each in self.taxonomy.changes if self.taxonomy.touches(each, labels or ())]
            self.rows.update(about)
            if again or key in answered:
                continue
            kind = NEW if labels is None else self._kind(labels)
            self.kinds[kind] += 1
            self.tokens[kind] += estimate_tokens(text or "") + estimate_tokens(self.job.task.system)
            self.forced.update(about if kind == FORCED else ())

    def _learn(self, prompts: Prompts, repeats: Sequence[bool], answers: Mapping[bytes, Answer]) -> None:
        """Take in what the old answers were billed, if the same model at the same place gave them."""
        if self.bills is None:
            return
        for prompt, again in zip(prompts, repeats, strict=True):
            if prompt is not None and not again and prompt.key in answers:
                self.bills.add(prompt, answers[prompt.key])

    def _kind(self, labels: Sequence[str]) -> int:
        if self.taxonomy.carried(labels) is None:
            return FORCED
        return MERGED if self.taxonomy.is_merged(labels) else PLAIN

    def told(self, planned: Plan) -> Diff:
        """Return what was counted; *planned* says what asking everything costs, and so what a part of it does."""
        old, new, kinds = self.old.asked.config, self.job.config, self.kinds
        renamed, draw = only_renamed(self.old.asked, new), drawn(kinds, new.carry)
        worth_it = renamed or draw.rows >= LEAST_ROOM * draw.wanted
        audits = 0 if renamed else draw.expected(kinds) if worth_it else draw.rows
        audited = {kind: audits * kinds[kind] / max(1, draw.rows) for kind in (PLAIN, MERGED)}
        must = {kind: kinds[kind] for kind in (FORCED, NEW)}
        lines = [
            self._line(planned, each.kind, str(each), self.rows[each] if each.old else None, {FORCED: self.forced[each]}, {})
            for each in self.taxonomy.changes
        ]  # fmt: skip
        if words := [] if renamed else wording(old, new):
            lines.append(self._line(planned, "wording", ", ".join(words), None, {}, {}))
        if kinds[NEW]:
            lines.append(self._line(planned, "no label yet", "", kinds[NEW], {NEW: kinds[NEW]}, {}))
        if audits:
            lines.append(self._line(planned, "audit", "of the others", draw.rows, {}, audited))
        return Diff(
            old=str(old.path),
            new=str(new.path),
            rows=self.job.source.rows,
            carried=draw.rows if worth_it else 0,
            renamed=renamed and bool(self.taxonomy.changes),
            changes=lines,
            total=self._line(planned, "together", "", None, must, audited),
            everything=Line("everything", "", self.job.source.rows, planned.requests, 0, planned.cost_usd),
            cost_source=planned.cost_source,
            remarks=list(self._remarks(worth_it=worth_it, renamed=renamed)),
        )

    def _line(
        self, planned: Plan, kind: str, what: str, rows: int | None, forced: Mapping[int, float], audited: Mapping[int, float]
    ) -> Line:  # fmt: skip
        """Return a line about so many prompts of each kind, as requests: there may be several in one."""
        tokens, prompts = sum(self.tokens.values()), sum(self.kinds.values())
        each = planned.requests / prompts if prompts else 0.0
        parts = [*forced.items(), *audited.items()]
        mine = sum(self.tokens[kind] * count / self.kinds[kind] for kind, count in parts if count)
        cost = None if planned.cost_usd is None else planned.cost_usd * mine / tokens if tokens else 0.0
        must, maybe = (ceil(round(each * sum(counts.values()), 6)) for counts in (forced, audited))
        return Line(kind, what, rows, must, maybe, cost)

    def _remarks(self, *, worth_it: bool, renamed: bool) -> Iterator[str]:
        carry = self.job.config.carry
        if self.job.task.fingerprint == self.old.asked.task.fingerprint:
            yield "the question is the same: answers of the one are answers to the other"
        elif renamed:
            yield "nothing but names has changed: every label is carried over without a request"
        elif not worth_it:
            yield "too few rows could keep their labels for an audit to be worth it: every row is asked"
        else:
            yield (
                f"if the audit does not prove that at most {carry.max_missed} of the rows left alone change (carry.max_missed), "
                "it is doubled twice, and then every row is asked"
            )


def _prompts(job: Job) -> Iterator[tuple[int, Prompts]]:
    for chunk in read_chunks(job.source, job.config.task.columns, all_spans(job.source)):
        yield chunk.span.start, job.task.prompts(chunk.columns)


def _looked_up(store: Store | None, keys: Sequence[bytes]) -> Answers:
    return store.look_up(keys) if store and keys else Answers.of(())


def _answered(job: Job, prompts: Prompts, store: Store | None) -> set[bytes]:
    """Return the keys of those of *prompts* that have an answer, or a label in place of one."""
    keys = [key for key in dict.fromkeys(prompts.keys) if key is not None]
    aliases = job.task.aliases(zip(prompts.keys, prompts.texts, strict=True))
    known = set(_looked_up(store, [*keys, *aliases]).under(aliases))
    return known | stand_ins(job, [key for key in keys if key not in known]).keys()
