"""One run's attempt to carry over the labels that an earlier config has found, instead of asking about every row anew.

    old labels ─► what they are called now ─► rows that must change are asked ─► an audit of the others ─► carried, or all asked

It is the student's way with another proposer. What is forced, because its label is gone, split or edited, is asked first
and tells how many rows change; of the others at most so many do as the audit proves. If that is too many, twice as many
coins count, and twice more; then every row is asked. Where nothing but names has changed, the question is the same.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from math import inf
from typing import Any

from pipeline.engine.carrying.found import Found, carried, everything, renamed
from pipeline.engine.carrying.old import LookUp, OldAnswers, OldLabels
from pipeline.engine.lifecycle import Execution
from pipeline.engine.student.attempt import ASKED_AT_ONCE, LEAST_ROOM, MOST_ROWS, AuditedAttempt, Read
from pipeline.engine.student.lesson import unanswered
from pipeline.errors import ConfigError
from pipeline.figures import count
from pipeline.job.previous import only_renamed
from pipeline.records import Prompts
from pipeline.student.coin import draw_secret
from pipeline.student.left_over import forget_others, still_there, taken_over
from pipeline.student.missed import drawn, looks
from pipeline.student.store import FORCED, MERGED, PLAIN, Night, Proposal, StudentStore
from pipeline.student.taxonomy import Taxonomy

log = logging.getLogger(__name__)


class Carrying(AuditedAttempt):
    """The attempt of one run; without *old* it only goes on with what was begun."""

    def __init__(
        self, execution: Execution, store: StudentStore, old: tuple[OldAnswers, LookUp] | None
    ) -> None:
        super().__init__(execution, store)
        self._old = old

    async def _prepared(self, read: Read) -> Night | None:
        """Propose what old labels are called now, and make durable what the audit depends on."""
        if self._old is None:
            return await self._left_over(read)
        old, look_up = self._old
        await self._threads.run(partial(self._store.begin, self._run, forget=False))
        taxonomy = Taxonomy(old.asked.config.task, self._job.config.task)
        left_open = proposed = answered = 0
        async for prompts, known in self._chunks(read):
            left = await self._threads.run(unanswered, prompts, known, self._store)
            wanted = old.wanted(left)
            found = await self._threads.run(old.labels, wanted, await look_up(wanted.keys))
            left_open, answered = left_open + len(left), answered + len(known)
            proposed += await self._threads.run(self._propose, taxonomy, left, found)
        if left_open and not proposed and not answered and not self._store.nights():
            raise ConfigError(
                f"{old.asked.config.path.name}: has no answer to any of these rows; run it first, or leave --from out"
            )
        return await self._threads.run(self._fixed, taxonomy, old)

    async def _left_over(self, read: Read) -> Night | None:
        """Go on with what a run with `--from` has left, though the input has other rows by now and so is another run's."""
        if (
            self._job.options.part is not None
        ):  # a part of the rows cannot tell what the audit of all of them found
            return None
        night = await self._threads.run(taken_over, self._store, self._run)
        if night is not None:
            async for prompts, _ in self._chunks(read):
                await self._threads.run(still_there, self._store, prompts.keys)
            await self._threads.run(forget_others, self._store, self._run)
        return night

    def _propose(self, taxonomy: Taxonomy, left: Prompts, found: Mapping[bytes, OldLabels]) -> int:
        """Store what the prompts that are *left* would be called, and return how many there are. Runs in a thread."""
        proposals = []
        for key in left.keys:
            if key is None or (old := found.get(key)) is None:
                continue
            labels, kind = taxonomy.carried(old.labels), PLAIN
            if labels is None:
                labels, kind = taxonomy.now(old.labels), FORCED
            elif taxonomy.is_merged(old.labels):
                kind = MERGED
            proposals.append(Proposal(key, labels, old.confidence, old.run, old.model, kind))
        self._store.propose(self._run, proposals)
        return len(proposals)

    def _fixed(self, taxonomy: Taxonomy, old: OldAnswers) -> Night | None:
        """Draw the secret, and make all that the audit depends on durable. Runs in a thread."""
        store, settings = self._store, self._job.config.carry
        renaming = only_renamed(old.asked, self._job.config)
        if not renaming:
            store.drop(self._run, below=-inf, most_rows=max(1.0, MOST_ROWS * self._job.source.rows))
        kinds = store.kinds(self._run)
        if not kinds:
            return None
        draw = drawn(kinds, settings)
        facts: dict[str, Any] = {
            "previous": old.asked.config.path.name,
            "changes": [f"{change.kind}: {change}" for change in taxonomy.changes],
            "max_missed": str(settings.max_missed),
            "delta": settings.delta,
            "prompts": draw.rows,
            "forced": kinds.get(FORCED, 0),
            "share": draw.share,
            "shares": draw.shares,
            "settled": sorted(taxonomy.settled),
            "added": sorted(taxonomy.added),
        }
        night = Night(self._run, draw_secret(), facts)
        if renaming:
            return store.end(night, renamed(facts), lambda each: each.kind != FORCED)
        if draw.rows < LEAST_ROOM * draw.wanted:
            many = "no number of" if draw.wanted == inf else f"{draw.wanted:,.0f}"
            why = f"{count(draw.rows, 'prompt')} with labels that could stay are too few for {many} audits"
            return store.end(night, everything(why, facts), None)
        store.fix(night)
        log.info(
            "carried: %s of %s must be asked; of the others about %s are asked to find out",
            count(facts["forced"], "prompt"), f"{draw.rows + facts['forced']:,}", f"{draw.expected(kinds):,}",
        )  # fmt: skip
        return night

    async def _decided(self, night: Night, read: Read) -> Night:
        """Ask what must change and what the coins say, and look up to three times whether that proves enough."""
        outcome, share = everything("nothing was audited", night.facts), 1.0
        for share, delta in looks(float(night.facts["share"]), float(night.facts["delta"])):
            await self._ask_all(read, partial(self._chosen, night, share))
            found = await self._found(night, share)
            outcome = carried(found, night.facts, delta, self._job.config.carry.max_missed)
            if outcome["status"] == "certified" or found.moved_too_many:
                break
        if outcome["status"] != "certified":
            return await self._threads.run(self._store.end, night, outcome, None)
        return await self._threads.run(
            self._store.end, night, outcome, lambda each: not _is_asked(night, each, share)
        )

    def _chosen(self, night: Night, share: float, prompts: Prompts) -> Prompts:
        """Return those of *prompts* that are asked: they must change, or their coin fell. Runs in a thread."""
        keys = [key for key in dict.fromkeys(prompts.keys) if key is not None]
        wanted = {each.key for each in self._store.proposed(night.run, keys) if _is_asked(night, each, share)}
        return prompts.where(wanted.__contains__)

    async def _found(self, night: Night, share: float) -> Found:
        """Count what was asked, and how much of it has another label than it would carry."""
        found = Found(frozenset(night.facts["settled"]), frozenset(night.facts["added"]))
        proposals = self._store.proposals(night.run)
        while some := await self._threads.run(_some, proposals, night, share):
            said = await self._said([each.key for each in some])
            for each in some:
                found.add(each, said.get(each.key), is_base=night.coin(each.key) < share)
        kinds = await self._threads.run(self._store.kinds, night.run)
        found.rows = kinds.get(PLAIN, 0) + kinds.get(MERGED, 0)
        return found


def _is_asked(night: Night, each: Proposal, share: float) -> bool:
    """Return whether a prompt is asked in a look whose coins count up to *share*."""
    if each.kind == FORCED:
        return True
    return night.coin(each.key) < max(share, float(night.facts["shares"].get(str(each.kind), 0.0)))


def _some(proposals: Iterator[Proposal], night: Night, share: float) -> Sequence[Proposal]:
    """Return the next of *proposals* that were asked. Runs in a thread."""
    return list(islice((each for each in proposals if _is_asked(night, each, share)), ASKED_AT_ONCE))
