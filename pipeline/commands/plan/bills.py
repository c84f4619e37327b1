"""What the answered rows of a job were billed, and what others like them are going to be."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import fmean, pstdev

from pipeline.commands.plan.rates import Rates
from pipeline.commands.plan.reply_tokens import ReplyTokens
from pipeline.commands.plan.shape import Parts, Shape
from pipeline.commands.plan.sizes import tokens_of
from pipeline.engine.packing.packs import prefix_of
from pipeline.engine.packing.planned import ITEM_TOKENS
from pipeline.job.decisions import Question
from pipeline.job.job import Job
from pipeline.ledger.store import Store
from pipeline.llm.pricing import Price
from pipeline.quality.drawing import SAMPLED, Lowest
from pipeline.records import Answer, Prompt
from pipeline.tasks.data import as_data
from pipeline.tasks.packs import place_in

FEW = 10
"""Rows whose share of second asks is half believed."""

ENOUGH_FOR_COST = 5
"""Answers of known cost that are believed more than a list price."""


@dataclass(slots=True)
class _Row:
    """An answered row: the parts of its request, and what it was billed."""

    parts: Parts
    rows: int
    answer: Answer

    @property
    def is_plain(self) -> bool:
        """Whether it was asked about once, so that it was billed for nothing else."""
        return self.answer.asks == self.answer.attempts == 1


def _requests(rows: Sequence[_Row]) -> Iterator[tuple[Parts, int]]:
    """Yield the requests of *rows* with what they were billed: whole ones where all of their rows are there, else a row's share."""
    packs = defaultdict[str, list[_Row]](list)
    for row in rows:
        place = place_in(row.answer.request_id)
        packs[place.request if place else ""].append(row)
    for name, some in packs.items():
        if name and len(some) == some[0].rows:
            parts, count = [row.parts for row in some], len(some)
            whole = Parts(parts[0].fixed * count, parts[0].schema * count, sum(each.texts for each in parts))
            yield whole, sum(row.answer.prompt_tokens or 0 for row in some)
        else:
            yield from ((row.parts, row.answer.prompt_tokens or 0) for row in some)


@dataclass(slots=True)
class Bills:
    """The bills of a job's answered rows.

    Attributes:
        job: The job, or what an earlier config has asked.
        lent: The bills of another question about the same texts: what to believe as long as there are none of this one.
        shape: Its requests.
        replies: The tokens of replies about rows alone.
        packed_replies: The same of those about several, a row's share each.
    """

    job: Question
    shape: Shape
    lent: "Bills | None" = None
    replies: ReplyTokens = field(default_factory=ReplyTokens)
    packed_replies: ReplyTokens = field(default_factory=ReplyTokens)
    _some: Lowest[_Row] = field(default_factory=Lowest)
    _beside: list[tuple[Parts, int, float]] = field(default_factory=list)
    _compared: list[Answer] = field(default_factory=list)  # answers to rows alone that are no row's
    _rates: Rates | None = None

    def add(self, prompt: Prompt, answer: Answer) -> None:
        """Take in what the *answer* to *prompt* was billed."""
        place = place_in(answer.request_id)
        (self.packed_replies if place else self.replies).add(answer)
        if answer.prompt_tokens and self._some.wants(prompt.key):
            rows = place.rows if place else 1
            texts = tokens_of(as_data(prompt.text))
            parts = self.shape.request(rows, rows * texts).over(rows)
            self._some.add(prompt.key, _Row(parts, rows, answer))

    def ask(self, store: Store) -> None:
        """Look for what is no row's: answers that were only compared; or to other questions, if there is none to this one."""
        if not self.packed_replies.replies:
            self.replies.ask(store, self.job.config.model)
            return
        rows, runs = self._some.items, {row.answer.run for row in self._some.items}
        beside = [
            each
            for run in runs
            for each in store.starting_with(prefix_of(run)).values()
            if place_in(each.request_id) is None
        ]
        # Whose texts they are is not known: rows of the table, drawn at random, each of them twice.
        sizes = [row.parts.texts - ITEM_TOKENS for row in rows] or [0.0]
        texts, spread = fmean(sizes), 1.5 * pstdev(sizes)
        self._compared = beside[:SAMPLED]
        for answer in self._compared:
            self.replies.add(answer)
            if answer.asks == answer.attempts == 1 and answer.prompt_tokens:
                self._beside.append((self.shape.request(1, texts), answer.prompt_tokens, spread))

    @property
    def rates(self) -> Rates:
        """What was learned."""
        if self.lent is not None and not self.answers:
            return self.lent.rates
        if self._rates is None:
            self._rates = Rates(self.job.config.model.provider)
            for parts, billed in _requests([row for row in self._some.items if row.is_plain]):
                self._rates.learn(parts, billed)
            for parts, billed, spread in self._beside:
                self._rates.learn(parts, billed, spread)
        return self._rates

    @property
    def answers(self) -> int:
        """How many answers there are to learn from."""
        return len(self._some.items)

    @property
    def again(self) -> float:
        """What was billed for asking once more, as a share of what asking once is."""
        once = [self.rates.billed(row.parts) for row in self._some.items]
        more = sum(
            max(0.0, (row.answer.prompt_tokens or 0) - each)
            for row, each in zip(self._some.items, once, strict=True)
            if not row.is_plain
        )
        # Of few rows one may be as good as none: what they show counts the less, the fewer they are.
        return more / sum(once) * len(once) / (len(once) + FEW) if once else 0.0

    def prefix(self, rows: int) -> float:
        """Return the tokens with which requests about so many *rows* begin: what a provider could cache."""
        return self.rates.billed(self.shape.request(rows, 0.0)) - self.shape.wording(rows)

    def cached(self, rows: int) -> float:
        """Return the share of the prompts' tokens that came from the provider's cache, of requests like those about so many *rows*.

        Where there were none like them, the others tell how many tokens of a request are: those with which all of them begin.
        """
        asked = [(row.answer, row.rows) for row in self._some.items]
        asked += [(answer, 1) for answer in self._compared]
        like = [(answer, 1) for answer, many in asked if (many > 1) == (rows > 1)]
        if like or not asked:
            return _later_share(like)
        share, many = _later_share(asked), fmean(many for _, many in asked)
        texts = fmean(row.parts.texts for row in self._some.items)
        whole, other = (
            self.rates.billed(self.shape.request(each, each * texts)) for each in (rows, round(many))
        )
        return min(1.0, share * other / whole)

    def reply(self, rows: int) -> float:
        """Return the tokens of a reply about so many *rows*."""
        model, guess = self.job.config.model, self.shape.reply(rows)
        if rows > 1 and self.packed_replies.replies:
            return rows * self.packed_replies.mean
        if self.replies.replies and rows > 1:  # thoughts, or longer answers than expected, come with each row
            return guess + rows * max(0.0, self.replies.mean - self.shape.reply(1))
        return self.replies.mean if self.replies.replies else min(guess, model.max_tokens * rows)

    def price(self, listed: Price | None) -> Price | None:
        """Return the price of a token: as the config says, else as bills tell it, else the one that is *listed*."""
        if self.job.config.model.price is not None or self.job.config.model.lane == "batch":
            return listed
        paid = [
            (row.answer, row.answer.cost_usd)
            for row in self._some.items
            if row.answer.cost_usd is not None and row.answer.completion_tokens is not None
        ]
        if len(paid) < ENOUGH_FOR_COST:
            return listed
        base = listed or USUAL
        usual = [
            base.cost(each.prompt_tokens or 0, each.cached_tokens or 0, each.completion_tokens or 0)
            for each, _ in paid
        ]
        if not fmean(usual):
            return listed
        share = sum(cost for _, cost in paid) / sum(usual)
        if listed is not None and abs(share - 1) < SAME:
            return listed
        found = base.times(share)
        return Price(found.input, found.output, found.cached, "answers")


def lent_by(old: Question, new: Job) -> Bills | None:
    """Return bills to take those of the answers to *old* in; None if another model gave them, or at another place."""
    before, now = old.config.model, new.config.model
    is_same = (before.provider, before.name, before.base_url) == (now.provider, now.name, now.base_url)
    return Bills(old, Shape(old)) if is_same else None


USUAL = Price(1e-6, 4e-6, 0.25e-6, "answers")
"""How prices are to each other, where none is known."""

SAME = 0.005


def _later_share(asked: Sequence[tuple[Answer, int]]) -> float:
    """Return the share of cached tokens in the later half of what was *asked*: at first nothing is there."""
    answers = sorted((answer for answer, _ in asked), key=lambda answer: answer.at)
    late = answers[len(answers) // 2 :]
    total = sum(answer.prompt_tokens or 0 for answer in late)
    return sum(answer.cached_tokens or 0 for answer in late) / total if total else 0.0
