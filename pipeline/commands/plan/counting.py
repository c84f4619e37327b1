"""Two passes over the input of a plan: which prompts there are, which are answered, and what the answers were billed."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.commands.plan.bills import Bills, lent_by
from pipeline.commands.plan.rates import Sample
from pipeline.commands.plan.shape import Shape
from pipeline.commands.plan.spread import Twins
from pipeline.engine.escalation.rule import spared
from pipeline.engine.packing.packs import columns_of, strangers
from pipeline.engine.packing.planned import comparison
from pipeline.engine.reuse import Reuse
from pipeline.inputs.read import read_chunks
from pipeline.inputs.source import all_spans
from pipeline.job.decisions import asked_anew, may_be_carried
from pipeline.job.job import Job
from pipeline.job.result import finished
from pipeline.job.state import has_batches
from pipeline.ledger import opened
from pipeline.ledger.store import Store
from pipeline.outputs.duplicates import Duplicates
from pipeline.records import Answer, Prompt, Prompts
from pipeline.tasks.parse import Parser


@dataclass(slots=True)
class Counts:
    """What is counted.

    Attributes:
        empty: Rows without text.
        truncated: Rows whose text is cut.
        answered: Prompts that have an answer.
        being_asked: Prompts in a batch that is under way.
        missing: The texts of those that have neither.
        compared: How many of these would be asked alone, too.
        strangers: How many of these are alone in a request.
        canary: The texts that are asked anew.
        student: The student's forecast; None if there is none.
        second: What is put to the second model; None if there is none.
        twins: Those of `missing` that differ from another one in case or blanks only.
        bills: What earlier rows were billed.
        carry: The forecast of labels that are carried over; None if there are none.
        to_carry: How many prompts without an answer keep labels if the audit passes.
    """

    bills: Bills
    empty: int = 0
    truncated: int = 0
    answered: int = 0
    being_asked: int = 0
    missing: Sample = field(default_factory=Sample)
    compared: int = 0
    strangers: int = 0
    canary: Sample = field(default_factory=Sample)
    student: Any = None
    second: Any = None
    twins: Twins = field(default_factory=Twins)
    carry: Any = None
    to_carry: int = 0

    @property
    def prompts(self) -> int:
        """All distinct prompts, whoever answers them."""
        others = self.student.others_labels if self.student else 0
        return self.answered + self.being_asked + self.missing.rows + self.to_carry + others


@dataclass(slots=True)
class _Open:
    """Prompts of which an audit asks a share, fields as in `Counts`."""

    missing: Sample = field(default_factory=Sample)
    compared: int = 0
    strangers: int = 0


def count(job: Job, folder: Path, *, carries: bool) -> Counts:
    """Count the distinct prompts of *job* and those that the ledger has an answer to; *folder* is for temporary files.

    Unless it *carries*, all others are asked.
    """
    stands_in = job.config.student or job.carried
    student = import_module("pipeline.engine.student.forecast").Forecast(job) if stands_in else None
    counts = Counts(Bills(job, Shape(job)), student=student)
    with Duplicates(folder, job.source.rows) as duplicates, ExitStack() as held:
        if carries and may_be_carried(job) and job.options.selection is None and job.options.part is None:
            counts.carry = import_module("pipeline.engine.carrying.forecast").CarryForecast(job, held)
        # Two passes over the input: which prompts repeat is known only at the end of the first.
        for first_row, prompts, _ in _prompts(job):
            counts.empty += prompts.keys.count(None)
            if counts.carry:
                counts.carry.see(prompts)
            mine = _mine(job, prompts)
            counts.truncated += sum(mine.truncated)
            duplicates.add(first_row, pa.array(mine.keys, pa.binary(16)))
        duplicates.finish()
        if counts.carry:
            counts.carry.settle()
        second = _SecondPass(job, counts, held)
        for first_row, prompts, alone in _prompts(job):
            mine = _mine(job, prompts)
            repeated = duplicates.among(first_row, len(mine)).to_pylist()
            second.take(
                [p for p, again in zip(mine, repeated, strict=True) if p is not None and not again], alone
            )
        second.end()
    return counts


_ASKED = -1
"""In place of a kind of prompts that could keep labels."""


def _prompts(job: Job) -> Iterator[tuple[int, Prompts, Sequence[bytes]]]:
    for chunk in read_chunks(job.source, columns_of(job), all_spans(job.source)):
        prompts = job.task.prompts(chunk.columns)
        yield chunk.span.start, prompts, strangers(job, prompts, chunk.columns)


def _mine(job: Job, prompts: Prompts) -> Prompts:
    """Return those of *prompts* that the run asks about."""
    return prompts if job.options.part is None else prompts.where(job.options.part.owns)


class _SecondPass:
    """What is known of each distinct prompt."""

    def __init__(self, job: Job, counts: Counts, held: ExitStack) -> None:
        self._job, self._counts = job, counts
        self._store: Store | None = held.enter_context(opened(job.config.state.dir))
        self._book: Any = None
        if has_batches(job.config) and import_module("pipeline.llm.batch.book").is_under_way(
            job.config.state.dir
        ):
            self._book = held.enter_context(
                import_module("pipeline.llm.batch.book").Book(job.config.state.dir)
            )
        self._parser, self._is_compared = Parser(job.config.task, job.calibration), comparison(job)
        self._anew = asked_anew(job) if finished(job) is None else ()
        self._second = job.second and import_module("pipeline.commands.plan.second").SecondForecast(job)
        self._reuse = Reuse(job.options.retry)
        self._reuse.spares = spared(job)
        self._open: dict[int, _Open] = {}
        if counts.carry and counts.carry.previous:
            counts.bills.lent = lent_by(counts.carry.previous, job)

    def take(self, prompts: list[Prompt], alone: Sequence[bytes]) -> None:
        """Count some prompts, each of which occurs for the first time; *alone* are the keys of strangers."""
        counts, strange = self._counts, frozenset(alone)
        for prompt in prompts if self._anew else ():
            if prompt.key in self._anew:
                counts.canary.add(prompt.key, prompt.text)
        others = counts.student.others(prompts) if counts.student else prompts
        aliases = self._job.task.aliases((prompt.key, prompt.text) for prompt in others)
        keys = [*(prompt.key for prompt in others), *aliases]
        known: Mapping[bytes, Answer] = self._store.look_up(keys).under(aliases) if self._store else {}
        asked = self._book.being_asked(keys) if self._book else {}
        waiting, known_pairs, missing = {aliases.get(key, key) for key in asked}, [], []
        for prompt in others:
            answer = known.get(prompt.key)
            if answer is not None:
                counts.bills.add(prompt, answer)
            outcome = self._parser.outcome(answer) if answer is not None else None
            if answer is not None and outcome is not None and self._reuse.allows(answer, outcome):
                counts.answered += 1
                known_pairs.append((prompt, (answer, outcome)))
                if counts.student:
                    counts.student.learn(prompt, outcome)
            elif prompt.key in waiting:
                counts.being_asked += 1
            else:
                missing.append(prompt)
        self._miss(missing, strange)
        if self._second:
            self._second.see(self._store, known_pairs)

    def _miss(self, prompts: list[Prompt], strange: Collection[bytes]) -> None:
        """Count prompts without an answer: those that are asked, and those of which an audit asks some."""
        counts, lent = self._counts, self._counts.bills.lent
        kinds = counts.carry.open_kinds(prompts, lent and lent.add) if counts.carry and prompts else {}
        for prompt in prompts:
            kind = kinds.get(prompt.key, _ASKED)
            if kind is None:
                continue
            into = counts if kind == _ASKED else self._open.setdefault(kind, _Open())
            into.missing.add(prompt.key, prompt.text)
            into.compared += self._is_compared(prompt.key)
            into.strangers += prompt.key in strange
            if kind == _ASKED:
                counts.twins.add(prompt.text)

    def _audit(self) -> None:
        """Have the audit ask its share of those that could keep labels, which is up to how many there are."""
        counts = self._counts
        if not counts.carry:
            return
        shares = counts.carry.audited({kind: each.missing.rows for kind, each in self._open.items()})
        for kind, each in self._open.items():
            asked = counts.missing.take(each.missing, shares[kind])
            counts.compared += round(shares[kind] * each.compared)
            counts.strangers += round(shares[kind] * each.strangers)
            counts.to_carry += each.missing.rows - asked
        counts.to_carry += counts.carry.left_alone

    def end(self) -> None:
        """Look at what is no row's answer, and at what the second model is going to be asked."""
        counts = self._counts
        self._audit()
        if self._store and (counts.missing.rows or counts.canary.rows):
            counts.bills.ask(self._store)
        if self._second:
            counts.second = self._second.of(self._store, counts.missing)
