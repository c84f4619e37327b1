"""What the second model has cost a run: kept beside its answers, so that its share of the budget holds after a kill, too."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from hashlib import blake2b

from pipeline.engine.asking import Asked
from pipeline.engine.canary import bill
from pipeline.engine.escalation.rule import ASKED_AGAIN, BESIDE, paid_beside
from pipeline.llm.pacing.budget import Portion
from pipeline.llm.replies import NO_USAGE
from pipeline.llm.request import without_reply
from pipeline.outputs.columns import KEY, SOURCE
from pipeline.outputs.parts import Parts
from pipeline.records import KEY_BYTES, Answer, Span


class Spending:
    """The second model's share of what a run may spend."""

    def __init__(self, whom: Asked, max_usd: float | None) -> None:
        """Prepare to spend at most *max_usd*; None is as much as the run may."""
        self._whom, self._max_usd = whom, max_usd
        self._key = blake2b(b"escalated\0" + whom.run.encode(), digest_size=KEY_BYTES).digest()
        self._budget: Portion | None = None
        self.spent_before = 0.0

    @property
    def spent_usd(self) -> float:
        """What the second model has cost the run so far, in US dollars, as far as prices are known."""
        return self._budget.spent_usd if self._budget else self.spent_before

    async def read(self) -> None:
        """Find out what earlier executions of the run have spent."""
        known = (await self._whom.resolver.ledger.look_up([self._key])).get(self._key)
        self.spent_before = float(json.loads(known.text or "0")) if known else 0.0

    async def budget(self) -> Portion:
        """Return what may be spent, once it is known what was."""
        whole = await self._whom.whole_budget()
        await self.read()
        self._budget = Portion(whole, self._max_usd, self.spent_before, "escalate.limits.max_cost_usd")
        return self._budget

    async def deliver(self, *answers: Answer) -> None:
        """Make *answers* durable, and with them what the second model has cost: of no row, and of no cost itself."""
        page = without_reply(self._key, self._whom.run, NO_USAGE, 0, self._whom.clock.wall())
        await self._whom.resolver.ledger.append(*answers, page._replace(text=json.dumps(self.spent_usd)))


class Fates:
    """What became of the rows in parts that were put to the second model."""

    def __init__(self, parts: Parts, spans: Iterable[Span], run: str) -> None:
        """Look at the *parts* of *spans*, which *run* publishes."""
        self._words = Counter[str]()
        beside: dict[bytes, Answer] = {}  # by key: rows that are the same were paid for once
        for span in spans:
            keys, sources = parts.read(span, [KEY, SOURCE]).columns
            if sources.null_count == len(sources):
                continue
            for key, source in zip(keys.to_pylist(), sources.to_pylist(), strict=True):
                self._words[(source or "").partition(BESIDE)[0]] += 1
                if source and (paid := paid_beside(source, run)):
                    beside[key] = paid
        self.side = bill(beside.values()) if beside else None

    def facts(self) -> Mapping[str, int]:
        """Return how many rows there are, and how many of them came to what."""
        found = {name: self._words[word] for name, word in ASKED_AGAIN.items()}
        return {"rows": sum(found.values()), **found}
