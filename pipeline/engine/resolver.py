"""Resolve prompts to answers: from the ledger, from a request that is under way, or from the model.

This look-up by key is the whole of resume, reuse, deduplication and "only changed rows".
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress

from pipeline.engine.brake import Brake
from pipeline.engine.reuse import Reuse
from pipeline.ledger import Ledger
from pipeline.llm.request import Asker, bill_key
from pipeline.outputs.columns import Answered
from pipeline.records import Answer, Answers, Outcome, Outcomes, Prompt, Prompts
from pipeline.tasks.parse import Parser

StandIn = Callable[[Sequence[bytes]], Awaitable[tuple[Answers, Outcomes, str]]]
"""Returns the answers that it has for some keys, what they mean, and whose they are."""


@dataclass(slots=True)
class _PendingChunk:
    """A chunk that waits for its answers.

    Attributes:
        prompts: Its prompts.
        rows: A row for each of its keys.
        missing: How many of its keys have no answer yet.
        counts: Whether its answers are rows' and count as such.
        done: Done once none is missing.
        answered: The answers so far.
    """

    prompts: Prompts
    rows: dict[bytes, int]
    missing: int
    counts: bool
    done: asyncio.Future[None]
    answered: Answered = field(default_factory=Answered)

    def prompt(self, key: bytes) -> Prompt:
        """Return the prompt that has *key*."""
        prompt = self.prompts[self.rows[key]]
        assert prompt is not None, "a row without text has no key"  # noqa: S101
        return prompt


class Resolver:
    """Finds the answers to prompts; a key that several chunks need is asked once (single flight).

    Attributes:
        ledger: Where answers are looked up; set before the first call.
        stand_ins: Look up answers of somebody else for keys that the ledger has none for, and say whose.
        reuse: Tells which answers that the ledger has count.
        meets: Called with what a chunk has found while other answers of it are missing.
        reused: How many answers earlier runs had paid for.
        answered: How many prompts have their answer while their chunk is not written; who writes it takes them off.
    """

    def __init__(
        self,
        parser: Parser,
        run: str,
        *,
        retry: Iterable[str],
        open_asker: Callable[[Sequence[bytes]], Awaitable[Asker]],
        brake: Brake | None = None,
        continued: bool = False,
        leaves_open: bool = False,
        aliases: Callable[[Iterable[tuple[bytes | None, str | None]]], Mapping[bytes, bytes]] = lambda _: {},
    ) -> None:
        """Create a resolver.

        Args:
            parser: Interprets answers.
            run: The run's id.
            retry: Statuses whose stored answers do not count, unless this run paid for them.
            open_asker: Called with the keys of the first prompts that must be sent to the model.
            brake: Looks at each answer that becomes durable.
            continued: Whether earlier executions of the run may have left bills.
            leaves_open: Whether prompts without a stored answer stay without one, instead of being asked.
            aliases: Returns under which other keys there may be answers, see `tasks.prompt.Task.aliases`.
        """
        self._parser = parser
        self._run = run
        self.reuse = Reuse(retry, run)
        self._open_asker = open_asker
        self._brake, self._continued, self._leaves_open = brake, continued, leaves_open
        self._aliases = aliases
        self._asker: Asker | None = None
        self._pending: dict[bytes, _PendingChunk] = {}  # the chunk that resolves each key
        self._followers: dict[bytes, list[_PendingChunk]] = {}  # other chunks that wait for the key
        self.reused = 0
        self.answered = 0
        self.ledger: Ledger
        self.stand_ins: Sequence[StandIn] = ()
        self.meets: Callable[[Answered], None] = lambda _: None

    async def resolve(self, prompts: Prompts, *, counts: bool = True) -> Answered:
        """Return the answer to each key of *prompts*, asking the model for those that have none.

        Only what *counts* is in `answered`: what is asked beside the rows does not.
        """
        rows = {key: row for row, key in enumerate(prompts.keys) if key is not None}
        chunk = _PendingChunk(prompts, rows, len(rows), counts, asyncio.get_running_loop().create_future())
        # Claimed before the look-up: between the two an answer could become durable and be missed by both.
        mine = self._claim(chunk)
        known = await self._look_up(mine, prompts, rows)
        self._resolve_known(chunk, known)
        if chunk.missing:
            self.meets(chunk.answered)
        missing = [key for key in mine if key in self._pending]
        # Whoever has an answer of the model's keeps it, and asks the model again for another one.
        for stand_in in self.stand_ins:
            if new := [key for key in missing if key not in known]:
                self._settle(chunk, *await stand_in(new))
                missing = [key for key in missing if key in self._pending]
        if self._leaves_open:
            self._leave_open(chunk, missing)
        elif missing:
            asker = self._asker = self._asker or await self._open_asker(missing)
            owed = await self._owed(missing)
            for key in missing:
                previous = known[key] if key in known else None  # noqa: SIM401 - a Mapping's `get` raises and catches
                # An invalid answer keeps its count of asks, so that there is an end; a retry starts afresh.
                again = previous is not None and not self._counts_for_nothing(previous)
                asker.ask(chunk.prompt(key), previous if again else None, owed.get(key))
        if chunk.missing:
            await chunk.done
        return chunk.answered

    async def known(self, prompts: Prompts) -> Answers:
        """Return the answers that the ledger has to *prompts*, by whatever way they were asked."""
        rows = {key: row for row, key in enumerate(prompts.keys) if key is not None}
        return await self._look_up(rows, prompts, rows)

    async def _look_up(self, keys: Collection[bytes], prompts: Prompts, rows: Mapping[bytes, int]) -> Answers:
        aliases = self._aliases((key, prompts.texts[rows[key]]) for key in keys)
        return (await self.ledger.look_up([*keys, *aliases])).under(aliases)

    async def unanswered(self, prompts: Prompts) -> list[Prompt]:
        """Return those of *prompts*, each once, that have no answer, or one that does not count; asks nothing."""
        rows = {key: row for row, key in enumerate(prompts.keys) if key is not None}
        known = await self.known(prompts)
        missing = [
            row for key, row in rows.items() if key not in known or self._counts_for_nothing(known[key])
        ]
        return [prompt for row in missing if (prompt := prompts[row]) is not None]

    def _counts_for_nothing(self, answer: Answer) -> bool:
        return self.reuse.is_retried(answer, self._parser.outcome(answer))

    async def affordable(self, prompts: Prompts) -> Prompts:
        """Return the first of *prompts*, as many as the run's budget is enough for; opens the endpoint, which tells prices."""
        asker = self._asker = self._asker or await self._open_asker(list(filter(None, prompts.keys)))
        count = asker.affords(filter(None, prompts))
        return Prompts(prompts.keys[:count], prompts.texts[:count], prompts.truncated[:count])

    def on_durable(self, answers: Sequence[Answer]) -> None:
        """Deliver answers that have become durable, or ask once more where an answer is not final."""
        for answer in answers:
            if answer.key not in self._pending:  # a bill, or an answer from a batch, which nobody waits for
                continue
            outcome = self._parser.outcome(answer)
            final = self._parser.is_final(outcome.status, answer.asks)
            if self._brake is not None:
                self._brake.on_answer(answer, outcome, final=final)
            if final or self._asker is None:
                self._deliver(answer, outcome)
            else:
                self._asker.ask(self._pending[answer.key].prompt(answer.key), answer)

    async def _owed(self, keys: Sequence[bytes]) -> Mapping[bytes, Answer]:
        """Return the bills that earlier executions have left for *keys*."""
        if not self._continued:
            return {}
        prompts = {bill_key(key, self._run): key for key in keys}
        return {prompts[bill.key]: bill for bill in (await self.ledger.look_up(list(prompts))).values()}

    def _claim(self, chunk: _PendingChunk) -> list[bytes]:
        """Claim the keys that no other chunk is resolving, and return them; *chunk* follows the others."""
        mine = [key for key in chunk.rows if key not in self._pending]
        if len(mine) < len(chunk.rows):
            for key in chunk.rows.keys() & self._pending.keys():
                self._followers.setdefault(key, []).append(chunk)
        self._pending.update(dict.fromkeys(mine, chunk))
        return mine

    def _resolve_known(self, chunk: _PendingChunk, known: Answers) -> None:
        """Resolve every key that the ledger already has, in one batch; on a nightly run that is nearly every row."""
        outcomes = self._parser.outcomes(known)
        if not self.reuse.doubtful.isdisjoint(outcomes["status"]):
            meanings = zip(*outcomes.values(), strict=True)
            reusable = [
                status not in self.reuse.doubtful or self.reuse.allows(known[key], Outcome._make(meant))
                for key, status, meant in zip(known, outcomes["status"], meanings, strict=True)
            ]
            known = known.where(reusable)
            outcomes = {name: list(compress(values, reusable)) for name, values in outcomes.items()}
        self.reused += len(known) - known.columns["run"].count(self._run)
        self._settle(chunk, known, outcomes)

    def _settle(
        self, chunk: _PendingChunk, known: Answers, outcomes: Outcomes, source: str | None = None
    ) -> None:
        """Deliver the *known* answers to keys of *chunk*, which has claimed them."""
        for key in known:
            del self._pending[key]
        chunk.answered.add_all(known, outcomes, source)
        self._count(chunk, len(known))
        followed = known.keys() & self._followers.keys()
        for row, key in enumerate(known if followed else ()):
            if key in followed:
                meant = Outcome._make(outcomes[name][row] for name in Outcome._fields)
                self._deliver_to_followers(known[key], meant, source)

    def _deliver(self, answer: Answer, outcome: Outcome) -> None:
        """Deliver an answer to the chunk that asked for it and to its followers."""
        owner = self._pending.pop(answer.key)
        owner.answered.add(answer, outcome)
        self._count(owner, 1)
        self._deliver_to_followers(answer, outcome)

    def _deliver_to_followers(self, answer: Answer, outcome: Outcome, source: str | None = None) -> None:
        for follower in self._followers.pop(answer.key, ()):
            follower.answered.add(answer, outcome, source)
            self._count(follower, 1)

    def _leave_open(self, chunk: _PendingChunk, keys: Sequence[bytes]) -> None:
        """Give the *keys* of *chunk*, which has claimed them, up; so do those that follow."""
        for key in keys:
            del self._pending[key]
            for waiting in [chunk, *self._followers.pop(key, ())]:
                self._count(waiting, 1)
                self.answered -= waiting.counts

    def _count(self, chunk: _PendingChunk, answers: int) -> None:
        """Count the *answers* that *chunk* has just got; wakes it with the last one."""
        self.answered += answers * chunk.counts
        chunk.missing -= answers
        if not chunk.missing and not chunk.done.done():  # done already if its task was cancelled
            chunk.done.set_result(None)
