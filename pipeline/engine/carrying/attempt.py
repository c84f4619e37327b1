"""One run's attempt to carry over the labels that an earlier config has found, instead of asking about every row anew.

    old labels ─► what they are called now ─► rows that must change are asked ─► an audit of the others ─► carried, or all asked

It is the student's way with another proposer. What is forced, because its label is gone, split or edited, is asked first
and tells how many rows change; of the others at most so many do as the audit proves. If that is too many, twice as many
coins count, and twice more; then every row is asked. Where nothing but names has changed, the question is the same.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from itertools import islice
from math import inf

from pipeline.engine.carrying.found import Found, carried, everything, renamed
from pipeline.engine.carrying.old import LookUp, OldAnswers, OldLabels
from pipeline.engine.carrying.terms import Asked, fixed, gone_on_with, is_asked, is_worth_it, most_rows
from pipeline.engine.lifecycle import Execution
from pipeline.engine.student.attempt import ASKED_AT_ONCE, AuditedAttempt, Read
from pipeline.engine.student.lesson import unanswered
from pipeline.errors import ConfigError
from pipeline.figures import count
from pipeline.inputs.source import all_spans
from pipeline.records import Prompts
from pipeline.student.left_over import JOINING, LeftOver
from pipeline.student.missed import drawn, looks
from pipeline.student.store import FORCED, MERGED, PLAIN, Night, Proposal, StudentStore
from pipeline.system.prefetch import prefetch

log = logging.getLogger(__name__)


class Carrying(AuditedAttempt):
    """The attempt of one run; without *old* it only goes on with what was begun."""

    def __init__(
        self, execution: Execution, store: StudentStore, old: tuple[OldAnswers, LookUp] | None
    ) -> None:
        super().__init__(execution, store)
        self._old = old

    async def _begun(self) -> Night | None:
        """Return the attempt of this run if it has come to its end; else it is gone on with like another run's."""
        night = await super()._begun()
        return None if night is None or night.outcome is None else night

    async def _prepared(self, read: Read) -> Night | None:
        """Propose what old labels are called now, and make durable what the audit depends on.

        What another run has left is gone on with, also without the earlier config, and though the table has other rows by now.
        """
        if self._job.options.part is not None:
            return None  # a part of the rows cannot tell what the audit of all of them found
        left = await self._threads.run(LeftOver, self._store)
        await self._threads.run(left.tidy)
        asked = self._old and Asked.of(self._old[0].asked, self._job)
        begun = await self._left_over(left, read, asked) if left.nights else []
        if asked is not None:
            await self._propose_all(asked, read, is_begun=bool(begun))
        elif not begun:
            return None
        return await self._threads.run(self._fixed, left, begun, asked)

    async def _left_over(self, left: LeftOver, read: Read, asked: Asked | None) -> list[Night]:
        """See which prompts of the table something is left over for; returns the attempts that are gone on with."""
        async with aclosing(prefetch(read(all_spans(self._job.source)))) as stream:
            async for _, prompts in stream:
                found = await self._threads.run(left.see, prompts.keys)
                if found:
                    known = await self._resolver.known(prompts.where(found.__contains__))
                    left.count(found, known)
        begun = await self._threads.run(gone_on_with, left, self._job, asked)
        if not begun:
            await self._threads.run(left.forget)
        return begun

    async def _propose_all(self, asked: Asked, read: Read, *, is_begun: bool) -> None:
        """Store what all prompts that nobody has answered would be called."""
        assert self._old is not None, "there is an earlier config"  # noqa: S101
        old, look_up = self._old
        left_open = proposed = answered = 0
        async for prompts, known in self._chunks(read):
            left = await self._threads.run(unanswered, prompts, known, self._store)
            wanted = old.wanted(left)
            found = await self._threads.run(old.labels, wanted, await look_up(wanted.keys))
            left_open, answered = left_open + len(left), answered + len(known)
            proposed += await self._threads.run(self._propose, asked, left, found)
        if left_open and not proposed and not answered and not is_begun and not self._store.nights():
            raise ConfigError(
                f"{old.asked.config.path.name}: has no answer to any of these rows; run it first, or leave --from out"
            )

    def _propose(self, asked: Asked, left: Prompts, found: Mapping[bytes, OldLabels]) -> int:
        """Store what the prompts that are *left* would be called, and return how many there are. Runs in a thread."""
        proposals = [asked.proposal(key, found[key]) for key in left.keys if key is not None and key in found]
        coins_fell = {each.key for each in self._store.undecided([each.key for each in proposals])}
        self._store.propose(JOINING, (each for each in proposals if each.key not in coins_fell))
        return len(proposals)

    def _fixed(self, left: LeftOver, begun: list[Night], asked: Asked | None) -> Night | None:
        """Make all that the audit depends on durable, at once. Runs in a thread."""
        store, renaming = self._store, asked is not None and asked.renaming
        with store.changing():
            left.hand_over(self._run, inf if renaming else most_rows(self._job))
            kinds = store.kinds(self._run)
            if not kinds:
                return None
            draw = drawn(kinds, self._job.config.carry)
            facts = fixed(draw, kinds, begun, self._job, asked)
            night = Night(self._run, left.secret, facts)
            if renaming:
                return store.end(night, renamed(facts), lambda each: each.kind != FORCED)
            if not is_worth_it(draw):
                many = "no number of" if draw.wanted == inf else f"{draw.wanted:,.0f}"
                why = (
                    f"{count(draw.rows, 'prompt')} with labels that could stay are too few for {many} audits"
                )
                return store.end(night, everything(why, facts), None)
            store.fix(night)
        log.info(
            "carried: %s of %s must be asked; of the others about %s are asked to find out",
            count(facts["forced"], "prompt"), f"{draw.rows + facts['forced']:,}", f"{draw.expected(kinds):,}",
        )  # fmt: skip
        return night

    async def _decided(self, night: Night, read: Read) -> Night:
        """Ask what must change and what the coins say, and look up to three times whether that proves enough."""
        outcome, share, beside = everything("nothing was audited", night.facts), 1.0, set[bytes]()
        for share, delta in looks(float(night.facts["share"]), float(night.facts["delta"])):
            await self._ask_all(read, partial(self._chosen, night, share))
            found, beside = await self._found(night, share)
            outcome = carried(found, night.facts, delta, self._job.config.carry.max_missed)
            if outcome["status"] == "certified" or found.moved_too_many:
                break
        if outcome["status"] != "certified":
            return await self._threads.run(self._store.end, night, outcome, None)
        return await self._threads.run(
            self._store.end,
            night,
            outcome,
            lambda each: not (is_asked(night, each, share) or each.key in beside),
        )

    def _chosen(self, night: Night, share: float, prompts: Prompts) -> Prompts:
        """Return those of *prompts* that are asked: they must change, or their coin fell. Runs in a thread."""
        keys = [key for key in dict.fromkeys(prompts.keys) if key is not None]
        wanted = {each.key for each in self._store.proposed(night.run, keys) if is_asked(night, each, share)}
        return prompts.where(wanted.__contains__)

    async def _found(self, night: Night, share: float) -> tuple[Found, set[bytes]]:
        """Count what was asked, and how much of it has another label than it would carry.

        Returns that, and the keys of those that were asked beside what the coins say now: when there were fewer prompts, larger
        ones counted. They are no part of the sample, but are left alone no more.
        """
        found, beside = (
            Found(frozenset(night.facts["settled"]), frozenset(night.facts["added"])),
            set[bytes](),
        )
        proposals, reach = self._store.proposals(night.run), max(share, float(night.facts["reach"]))
        while some := await self._threads.run(_some, proposals, night, reach):
            said = await self._said([each.key for each in some])
            for each in some:
                if not is_asked(night, each, share):
                    if each.key not in said:
                        continue
                    beside.add(each.key)
                found.add(each, said.get(each.key), is_base=night.coin(each.key) < share)
        kinds = await self._threads.run(self._store.kinds, night.run)
        found.rows = kinds.get(PLAIN, 0) + kinds.get(MERGED, 0)
        return found, beside


def _some(proposals: Iterator[Proposal], night: Night, share: float) -> Sequence[Proposal]:
    """Return the next of *proposals* whose coin is below *share*, or that are asked anyway. Runs in a thread."""
    return list(islice((each for each in proposals if is_asked(night, each, share)), ASKED_AT_ONCE))
