"""The batch lane: another way by which prompts get their answers into the ledger. Afterwards the run finds them there.

    look at what is under way ─► read the prompts ─► hand in what nobody asks about ─► wait, and look again

A run comes here if its config says so, or if a batch is under way in its state directory: a key in one is being asked, and
no lane asks it again.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, aclosing
from shutil import rmtree
from typing import NamedTuple

from pipeline.config import Config
from pipeline.config.providers import base_url
from pipeline.engine.batches.collecting import Collector
from pipeline.engine.batches.cutting import Cutter, Money
from pipeline.engine.batches.locking import turn
from pipeline.engine.batches.purse import Purse
from pipeline.engine.batches.shelf import Seen, Shelf
from pipeline.engine.lifecycle import Execution
from pipeline.errors import ConfigError, WaitingError
from pipeline.figures import count
from pipeline.llm.batch.api import BatchApi
from pipeline.llm.batch.book import FOLDER, Book, Submission
from pipeline.llm.batch.lines import MOST_LINES
from pipeline.llm.catalog import NO_BATCH_PRICE
from pipeline.llm.dispatcher import Dispatcher
from pipeline.records import Prompt, Prompts, Span
from pipeline.system.lock import Lock
from pipeline.system.prefetch import prefetch

log = logging.getLogger(__name__)

Read = Callable[[], Iterator[tuple[Span, Prompts]]]

FIRST_SECONDS, MOST_SECONDS, LONGER = 30.0, 300.0, 1.5
"""Between two looks at what is under way: at first, at most, and by how much longer each time."""

REHEARSED_SECONDS = 0.5
FEWEST_LINES = 1_000
"""A file that the provider's queue had no room for is halved down to this."""


class Needed(NamedTuple):
    """What a run still needs, after its prompts were read.

    Attributes:
        intents: Submissions that ask about some of them.
        waits: Whether others are to be handed in once the provider's queue has room.
        is_short: Whether others are left out for want of money.
    """

    intents: set[str]
    waits: bool
    is_short: bool


class BatchLane:
    """The batches of one execution."""

    def __init__(self, execution: Execution, book: Book) -> None:
        self._execution, self._book, self._clock = execution, book, execution.clock
        self._config, self._waits = execution.job.config, execution.job.options.wait
        self._hands_in = self._config.model.lane == "batch"
        self._endpoint, self._run = endpoint_of(self._config), execution.record.run_id
        self._surroundings: int | None = None  # tokens of a request beside its row's text, at most
        self._asker: Dispatcher  # once the endpoint is open
        self._shelf: Shelf | None = None
        self._lock: Lock | None = None
        self._refused: set[bytes] = set()  # in a batch, so that they are asked row by row
        self._purse = Purse(self._config.limits.max_cost_usd, execution.record.run_id)
        self._most_lines, self._is_full, self._is_proven = MOST_LINES, False, False

    async def answer(self, read: Read) -> None:
        """Return once the ledger has all that batches answer of the prompts that *read* yields.

        Raises:
            WaitingError: If that takes longer than the run may wait.
            PipelineError: If it cannot be.
        """
        needed, seconds, told = None, FIRST_SECONDS, ""
        while True:
            async with turn(self._config.state.dir, self._clock) as self._lock:
                if not self._hands_in and not await self._execution.threads.run(self._book.submissions):
                    return
                seen = await self._look()
                if needed is None or seen.ended or needed.waits:
                    needed, seconds = await self._survey(read), FIRST_SECONDS
                under_way = await self._needed(needed.intents)
            if not under_way and not needed.waits:
                if needed.is_short:
                    raise self._purse.short(self._asker)
                return
            waits = (
                f"{count(len(under_way), 'batch', 'batches')} of {sum(each.lines for each in under_way):,} rows "
                f"under way, {seen.done:,} of them answered"
            )
            if not self._waits:
                raise WaitingError(f"{waits}; run the same command again to fetch the answers")
            if waits != told:
                log.info("waiting: %s", waits)
                told = waits
            await self._clock.sleep(
                REHEARSED_SECONDS if self._config.model.provider == "simulate" else seconds
            )
            seconds = min(MOST_SECONDS, seconds * LONGER)

    async def _under_way(self) -> list[Submission]:
        found = await self._execution.threads.run(self._book.submissions)
        return [each for each in found if each.endpoint == self._endpoint]

    async def _needed(self, intents: set[str]) -> list[Submission]:
        """Return those of *intents* that are under way.

        Raises:
            ConfigError: If one is at another endpoint, which only a run with its config can look at.
        """
        found = await self._execution.threads.run(self._book.submissions)
        needed = [each for each in found if each.intent in intents]
        for each in needed:
            if each.endpoint != self._endpoint:
                raise ConfigError(
                    f"batch {each.batch} at {each.endpoint} asks about rows of this run; fetch it with the config that it was "
                    "handed in with, or end it with `batch cancel`"
                )
        return needed

    async def _look(self) -> Seen:
        """Look at what is under way, and note what the provider had no room for."""
        if not await self._under_way():
            return Seen()
        shelf = await self._opened([])
        seen = await shelf.look(forgets=self._endpoint == OUR_OWN)
        self._refused |= seen.refused
        self._is_full = bool(seen.queue_full) and bool(await self._under_way())
        if seen.queue_full and not self._is_full:  # it was alone, so that it is too large
            self._most_lines = max(FEWEST_LINES, seen.queue_full // 2)
        return seen

    async def _survey(self, read: Read) -> Needed:
        """Read the prompts, and hand those in that have no answer and that nobody asks about."""
        needed: set[str] = set()
        waits, is_short, cutter = False, False, None
        # What lies there is left of a run that was killed while it wrote.
        await self._execution.threads.run(rmtree, self._config.state.dir / FOLDER, True)  # noqa: FBT003 - ignores errors
        async with AsyncExitStack() as opened:
            stream = await opened.enter_async_context(aclosing(prefetch(read())))
            async for _, prompts in stream:
                fresh = await self._unasked(prompts, needed)
                if not fresh or not self._hands_in:
                    continue
                if self._is_full:
                    waits = True
                    continue
                if cutter is None and (is_short := is_short or await self._waits_for_money()):
                    continue
                if not self._is_proven:
                    await self._prove(fresh.pop(0))
                cutter = cutter or opened.enter_context(await self._cutter())
                await cutter.add(fresh)
            if cutter is None:
                return Needed(needed, waits, is_short)
            if self._purse.is_crumb(cutter, (await self._execution.resolver.ledger.paid(self._run)).answers):
                return Needed(needed, waits, is_short=True)
            await cutter.end()
        await (await self._opened([])).hand_in(cutter)
        return Needed(needed | {each.intent for each, _, _ in cutter.made}, waits, cutter.is_short)

    async def _unasked(self, prompts: Prompts, needed: set[str]) -> list[Prompt]:
        """Return those of *prompts* to hand in; of those that are being asked, add to *needed* where."""
        missing = [
            each
            for each in await self._execution.resolver.unanswered(prompts)
            if each.key not in self._refused
        ]
        others = self._execution.job.task.aliases((each.key, each.text) for each in missing)
        keys = [*(each.key for each in missing), *others]
        found = await self._execution.threads.run(self._book.being_asked, keys)
        asked = {others.get(key, key): intent for key, intent in found.items()}
        needed.update(asked.values())
        return [each for each in missing if each.key not in asked]

    async def _prove(self, first: Prompt) -> None:
        """Ask the *first* prompt by itself, once in an execution.

        What is wrong with key, model or task shows now and not tomorrow, and the others are asked in a form that is taken.
        """
        await self._opened([first.key])
        if self._config.limits.max_cost_usd is not None and self._asker.billing.batch_price is None:
            raise ConfigError(NO_BATCH_PRICE)
        resolver, alone = self._execution.resolver, Prompts([first.key], [first.text], [first.truncated])
        found = await resolver.resolve(alone, counts=False)
        # All of its prompt: what surrounds the text of any row has no more tokens than that.
        self._surroundings = next(iter(found.columns()["prompt_tokens"]), None) or None
        self._is_proven = True

    async def _cutter(self) -> Cutter:
        asker = self._asker
        about = Submission("", self._run, self._endpoint, 0, 0.0, 0.0)
        money = Money(self._purse.left_usd(asker, await self._under_way()), self._surroundings)
        return Cutter(
            asker, self._book, self._config.state.dir, about, money, most_lines=self._most_lines, clock=self._clock,
            threads=self._execution.threads,
        )  # fmt: skip

    async def _waits_for_money(self) -> bool:
        """Return whether what is under way is better waited for, as it has most of the budget set aside."""
        under_way = await self._under_way()
        if not under_way:
            return False
        await self._opened([])
        return self._purse.waits(self._asker, under_way)

    async def _opened(self, keys: list[bytes]) -> Shelf:
        """Return the batches of the endpoint, which is opened when it is first needed, for *keys*."""
        if self._shelf is None:
            execution = self._execution
            asker = await execution.open_asker(keys)
            assert isinstance(asker, Dispatcher)  # noqa: S101 - the config allows one endpoint
            api = BatchApi(asker.client, self._clock, self._config.limits.max_outage)
            ledger, run = execution.resolver.ledger, execution.record.run_id
            self._asker = asker
            self._shelf = Shelf(
                self._book, api, Collector(asker, api, ledger, run, self._clock), self._endpoint,
                clock=self._clock, threads=execution.threads, before_send=self._before_send,
            )  # fmt: skip
        return self._shelf

    async def _before_send(self) -> None:
        await self._execution.fence.ensure_fresh()
        if self._lock is not None:
            self._lock.ensure_held()


OUR_OWN = "simulate"
"""The endpoint of a rehearsal, which ends with the run: what is not found there any more has gone with it."""


def endpoint_of(config: Config) -> str:
    """Return how the endpoint of *config* is called in the book: its URL, without what may be secret."""
    if config.model.endpoints:
        return ""  # batches go to one endpoint
    if config.model.provider == "simulate" and config.model.base_url is None:
        return OUR_OWN
    return base_url(config.model).partition("?")[0]
