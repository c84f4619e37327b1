"""Taking in what a batch has answered: into the ledger first, only then is it struck out of the book."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from pipeline.errors import ConfigError
from pipeline.ledger import Ledger
from pipeline.llm.backlog.delivery import Delivery
from pipeline.llm.batch.api import PATIENCE, Batch, BatchApi
from pipeline.llm.batch.book import Submission
from pipeline.llm.batch.lines import LineReader, Result, read_result
from pipeline.llm.dispatcher import Dispatcher
from pipeline.llm.replies import NO_USAGE, Failure, Reply
from pipeline.llm.request import Counters, bill_key, request_for
from pipeline.records import Answer, Answers, Prompt
from pipeline.system.clock import Clock

log = logging.getLogger(__name__)

SAME_AGAIN = 3
"""Downloads of a file whose lines are too few, before it is believed that there are no more."""


@dataclass(slots=True)
class Taken:
    """What the files of a batch have held.

    Attributes:
        answered: Keys with a reply, which is in the ledger.
        refused: Keys whose request the endpoint refused; to be asked one by one, which finds out why.
        words: What one of these refusals says, or of the lines that were never asked.
        broken: Whether a line could not be read.
    """

    answered: set[bytes] = field(default_factory=set)
    refused: set[bytes] = field(default_factory=set)
    words: str = ""
    broken: bool = False

    def has(self, key: bytes) -> bool:
        """Return whether the line of *key* was met."""
        return key in self.answered or key in self.refused


class Collector:
    """Takes in batches that have ended."""

    def __init__(self, asker: Dispatcher, api: BatchApi, ledger: Ledger, run: str, clock: Clock) -> None:
        self._asker, self._api, self._ledger = asker, api, ledger
        self._run, self._clock = run, clock

    async def collect(self, submission: Submission, batch: Batch, keys: set[bytes]) -> Taken:
        """Take all answers of *batch*, which asked about *keys*, into the ledger; returns once they are durable.

        Raises:
            PipelineError: If its files cannot be had; it can be collected again.
        """
        taken = Taken()
        for _ in range(SAME_AGAIN):
            taken.broken = False
            for file in batch.files:
                await self._download(file, submission, keys, taken)
            await self._ledger.flush()
            if self._ledger.failure is not None:
                raise self._ledger.failure
            if not taken.broken and len(taken.answered) + len(taken.refused) >= (batch.completed or 0):
                break
            log.warning("%s: its files have fewer lines than it tells; taking them once more", batch.name)
            await self._clock.sleep(PATIENCE.first_seconds)
        return taken

    async def _download(self, file: str, submission: Submission, keys: set[bytes], taken: Taken) -> None:
        began, calls = self._clock.now(), 0

        async def take(lines: list[bytes]) -> None:
            results = [read_result(line) for line in lines]
            taken.broken |= None in results
            await self._take([each for each in results if each and each.key in keys], submission, taken)

        while True:
            reader = LineReader(take)
            found = await self._api.download(file, reader.feed)
            if found is True:
                await reader.end()
                return
            if found is False:
                raise ConfigError(
                    f"{file}: the answers of batch {submission.batch} are not there any more, or belong to another project; "
                    "use the key that it was handed in with, or `batch cancel CONFIG --forget`: its rows are then paid again"
                )
            calls += 1
            self._api.ensure_may_pass(found, self._clock.now() - began)
            await self._clock.sleep(PATIENCE.after(calls, self._clock))

    async def _take(self, results: list[Result], submission: Submission, taken: Taken) -> None:
        """Append what *results* hold to the ledger, but for what it has from this batch already."""
        fresh = {each.key: each for each in reversed(results) if not taken.has(each.key)}
        bills = {bill_key(key, submission.run): key for key in fresh}
        known = await self._ledger.look_up([*fresh, *bills])
        owed = {bills[key]: known[key] for key in known if key in bills}
        for key, result in fresh.items():
            if _is_from(submission, known, key):
                taken.answered.add(key)
            elif key in owed and _is_from(submission, owed, key):
                taken.refused.add(key)
            elif result.status is not None:
                await self._take_one(result, submission, owed.get(key), taken)
            else:
                taken.words = result.message

    async def _take_one(
        self, result: Result, submission: Submission, owed: Answer | None, taken: Taken
    ) -> None:
        asker, mine = self._asker, submission.run == self._run
        counters = asker.counters if mine else Counters()
        outcome: Reply | Failure = asker.client.read(result.status or 0, result.body)
        outcome = asker.billing.in_batch(outcome, counters)
        counters.requests += 1
        if mine:
            asker.budget.spent_usd += outcome.usage.cost_usd or 0.0
        delivery = Delivery(self._ledger.append, submission.run, self._clock)
        request = request_for(Prompt(result.key, "", truncated=False), None, owed)
        if isinstance(outcome, Reply):
            await delivery.reply(request, outcome)
            taken.answered.add(result.key)
            return
        taken.refused.add(result.key)
        taken.words = outcome.message
        if outcome.usage is not NO_USAGE:
            await delivery.bill(request, outcome.usage)


def _is_from(submission: Submission, known: Answers | Mapping[bytes, Answer], key: bytes) -> bool:
    """Return whether the ledger has the answer to *key* from an earlier try to take this submission in."""
    # As long as it was under way nobody else asked.
    if key not in known:
        return False
    answer = known[key]
    return answer.run == submission.run and answer.at >= (submission.tried_at or submission.written_at)
