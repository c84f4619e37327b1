"""The batches of one endpoint that are under way: found again, looked at, handed in, taken in."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from pipeline.engine.batches.collecting import Collector
from pipeline.engine.batches.cutting import Cutter
from pipeline.errors import ConfigError, InterruptedRunError, PipelineError, ProviderUnavailableError
from pipeline.llm.batch.api import PATIENCE, Batch, BatchApi
from pipeline.llm.batch.book import Book, Submission
from pipeline.llm.replies import Failure
from pipeline.system.clock import Clock
from pipeline.system.threads import Threads

log = logging.getLogger(__name__)

LOOKED_FOR_SECONDS = 600.0
"""How long a batch is looked for whose creation was not answered, before it is taken for never made."""

MOST_REFUSED = 20
"""Lines of a batch that may all be refused for their rows' own sake; more, and the batch itself is at fault."""

QUEUE_FULL = "token_limit"
LOOKS = 3
LOOK_SECONDS = 2.0
"""A batch that is not found is looked for so often before that is believed."""


@dataclass(slots=True)
class Seen:
    """What a look at all batches has found.

    Attributes:
        ended: How many have ended, and are struck out of the book.
        refused: Keys that the provider refused in a batch.
        queue_full: The lines of the largest batch for which there was no room; 0 if there was room.
        lines: Lines of those that are under way.
        done: How many of these are answered.
    """

    ended: int = 0
    refused: set[bytes] = field(default_factory=set)
    queue_full: int = 0
    lines: int = 0
    done: int = 0


class Shelf:
    """The batches of one endpoint, in the book of one state directory; used under its lock."""

    def __init__(
        self, book: Book, api: BatchApi, collector: Collector, endpoint: str, *, clock: Clock,
        threads: Threads, before_send: Callable[[], Awaitable[None]],
    ) -> None:  # fmt: skip
        """Take charge of the batches at *endpoint*; *before_send* is awaited before one is made."""
        self._book, self._api, self._collector, self._before_send = book, api, collector, before_send
        self._endpoint, self._clock, self._threads = endpoint, clock, threads
        self._watched: set[str] = set()  # seen under way by this process

    async def submissions(self) -> list[Submission]:
        """Return what is under way at this endpoint."""
        return [
            each
            for each in await self._threads.run(self._book.submissions)
            if each.endpoint == self._endpoint
        ]

    async def look(self, *, forgets: bool = False) -> Seen:
        """Look at all batches once: find those again that were lost, and take in those that have ended.

        Args:
            forgets: Whether one that is not found is struck out: its provider has gone, too.

        Raises:
            PipelineError: If one cannot be had; the others have been looked at.
        """
        seen = Seen()
        failures: list[PipelineError] = []
        for submission in await self.submissions():
            try:
                await self._look_at(submission, seen, forgets=forgets)
            except (ConfigError, ProviderUnavailableError, InterruptedRunError) as error:
                failures.append(error)
        for failure in failures:
            raise failure
        return seen

    async def _look_at(self, submission: Submission, seen: Seen, *, forgets: bool) -> None:
        if submission.batch is None:
            found = await self._found_again(submission, seen)
            if found is None:
                return
            submission = found
        batch = await self._get(submission)
        if batch is None:
            await self._miss(submission, seen, forgets=forgets)
        elif not batch.has_ended:
            self._watched.add(submission.intent)
            seen.lines += submission.lines
            seen.done += batch.completed or 0
        else:
            await self._take_in(submission, batch, seen)

    async def _found_again(self, submission: Submission, seen: Seen) -> Submission | None:
        """Return a *submission* whose batch's id is not known with that id; None if there is none, or none yet."""
        if submission.tried_at is None:  # it was never handed in, and its rows may not be wanted any more
            await self._strike(submission)
            if submission.file is not None:
                await self._api.delete(submission.file)
            return None
        tried_at = submission.tried_at
        batch = await self._api.find(submission.intent, tried_at)
        if batch is not None:
            log.info("found again: batch %s, whose making was not confirmed", batch.name)
            submission = submission._replace(batch=batch.name)
            await self._threads.run(self._book.update, submission)
            return submission
        if self._clock.wall() - tried_at > LOOKED_FOR_SECONDS:
            log.warning("a batch whose making was not confirmed is not there; its rows are handed in again")
            await self._strike(submission)
            seen.ended += 1
        return None

    async def _get(self, submission: Submission) -> Batch | None:
        for _ in range(LOOKS):
            batch = await self._api.get(submission.batch or "")
            if batch is not None:
                return batch
            await self._clock.sleep(LOOK_SECONDS)
        return None

    async def _miss(self, submission: Submission, seen: Seen, *, forgets: bool) -> None:
        if not forgets:
            raise ConfigError(
                f"batch {submission.batch} is not known to the endpoint: its key is of another project, or the batch was "
                "removed; use the key that it was handed in with, or `batch cancel CONFIG --forget`: its rows are then paid again"
            )
        await self._strike(submission)
        seen.ended += 1

    async def _take_in(self, submission: Submission, batch: Batch, seen: Seen) -> None:
        keys = await self._threads.run(self._book.keys, submission.intent)
        taken = await self._collector.collect(submission, batch, keys)
        if batch.status == "completed" and not taken.answered and not taken.refused:
            # Handed in once more, it would be paid for once more and bring as little.
            if len(keys) > MOST_REFUSED:
                raise ProviderUnavailableError(
                    f"batch {batch.name}: completed, but its files hold none of its {len(keys):,} answers that can be read "
                    f"({taken.words or 'and no word on why'}); `batch cancel CONFIG --forget` gives it up: its rows are then paid again"
                )
            taken.refused = keys
        await self._strike(submission)
        seen.ended += 1
        seen.refused |= taken.refused
        log.info(
            "batch %s: %s, %d of %d answered", batch.name, batch.status, len(taken.answered), submission.lines
        )
        # Only now: whoever is killed in between leaves files there, and loses nothing.
        for file in (batch.input or submission.file, *batch.files):
            if file is not None:
                await self._api.delete(file)
        if batch.status == "failed":
            self._explain(batch, submission, seen)
        elif not taken.answered and batch.status == "expired":
            raise ProviderUnavailableError(
                f"batch {batch.name}: expired without an answer; run again, or with --set model.lane=live"
            )
        elif not taken.answered and len(taken.refused) > MOST_REFUSED:
            raise ProviderUnavailableError(
                f"batch {batch.name}: all of its lines were refused: {taken.words}; nothing was paid for it; "
                "run again with --set model.lane=live to ask row by row"
            )
        elif batch.status == "cancelled" and submission.intent in self._watched:
            raise InterruptedRunError(
                f"batch {batch.name}: was cancelled; run again to hand the rest in, or with --set model.lane=live"
            )

    def _explain(self, batch: Batch, submission: Submission, seen: Seen) -> None:
        if any(QUEUE_FULL in code for code, _ in batch.errors):
            log.info("batch %s: the provider's queue is full; it is handed in again later", batch.name)
            seen.queue_full = max(seen.queue_full, submission.lines)
            return
        told = "; ".join(f"{code}: {words}" for code, words in batch.errors[:3])
        raise ConfigError(f"batch {batch.name}: the provider refuses it: {told or 'without a word'}")

    async def hand_in(self, cutter: Cutter) -> None:
        """Hand in what *cutter* has made, each once.

        Raises:
            PipelineError: If the provider takes no more.
        """
        for submission, path, size in cutter.made:
            file = await self._api.upload(path, size, submission.intent)
            written = submission._replace(file=file)
            await self._threads.run(self._book.update, written)
            await self._threads.run(path.unlink, True)  # noqa: FBT003 - it may have gone
            # From here on it may be paid for: whatever happens, it is looked for before it is handed in again.
            tried = written._replace(tried_at=self._clock.wall())
            await self._threads.run(self._book.update, tried)
            try:
                made = await self._made(file, submission)
            except PipelineError:
                await self._threads.run(self._book.update, written)  # it is certain that there is none
                raise
            if made is not None:
                await self._threads.run(self._book.update, tried._replace(batch=made.name))
                log.info("batch %s: handed in with %d rows", made.name, submission.lines)
            else:
                log.warning("the provider did not say whether it has made a batch; looking for it")

    async def _made(self, file: str, submission: Submission) -> Batch | None:
        """Have the batch made, once; asks again only where it surely was not. None if nobody knows.

        Raises:
            PipelineError: If it was not.
        """
        began, calls = self._clock.now(), 0
        while True:
            await self._before_send()
            made = await self._api.create(file, submission.intent, submission.run)
            if not isinstance(made, Failure):
                return made
            calls += 1
            self._api.ensure_may_pass(made, self._clock.now() - began)
            await self._clock.sleep(max(made.retry_after or 0.0, PATIENCE.after(calls, self._clock)))

    async def _strike(self, submission: Submission) -> None:
        await self._threads.run(self._book.strike, submission.intent)
