"""`batch list`, `batch cancel`: what is under way at the provider, and ending it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from pipeline.config import Config
from pipeline.config.providers import for_provider
from pipeline.engine.asking import opened_client
from pipeline.engine.batches.lane import endpoint_of
from pipeline.engine.batches.locking import turn
from pipeline.job.readiness import ensure_ready
from pipeline.job.state import has_batches
from pipeline.llm.batch.api import Batch, BatchApi
from pipeline.llm.batch.book import Book, Submission
from pipeline.llm.batch.lines import LineReader, read_result
from pipeline.system.clock import Clock
from pipeline.system.threads import run_blocking

UNKNOWN = "unknown to the endpoint"
UNSURE = "not confirmed"


@dataclass(frozen=True, slots=True)
class Shown:
    """A batch as it is shown.

    Attributes:
        batch: Its id at the provider; None if that is not known.
        intent: The name that it was handed in under.
        run: The run that pays for it.
        status: Where it stands.
        rows: Its rows.
        done: How many of them are answered; None if that is not known.
        since: When it was handed in.
        endpoint: Where.
    """

    batch: str | None
    intent: str
    run: str
    status: str
    rows: int
    done: int | None
    since: str
    endpoint: str

    def as_dict(self) -> dict[str, Any]:
        """Return the fields, in order."""
        return asdict(self)


def batches(config: Config) -> list[Shown]:
    """Return the batches that are under way in the state directory of *config*.

    Raises:
        PipelineError: If the endpoint does not tell.
    """

    async def show(api: BatchApi, _: Book, submission: Submission) -> Shown:
        return _shown(submission, await _get(api, submission))

    return _each(config, show)


def cancel(config: Config, *, forget: bool = False) -> list[Shown]:
    """End the batches that are under way; with *forget*, strike those out whose answers the endpoint does not have.

    Raises:
        PipelineError: If the endpoint does not tell.
    """

    async def end(api: BatchApi, book: Book, submission: Submission) -> Shown:
        batch = await _get(api, submission)
        if batch is not None and not batch.has_ended:
            return _shown(submission, await api.cancel(batch.name) or await api.get(batch.name))
        if forget and submission.batch is not None and not await _is_of_use(api, batch):
            await asyncio.to_thread(book.strike, submission.intent)
        return _shown(submission, batch)

    return _each(config, end)


async def _is_of_use(api: BatchApi, batch: Batch | None) -> bool:
    """Return whether the files of a *batch* that has ended are all there, and hold a line that can be read."""
    if batch is None or not all([await api.has(file) for file in batch.files]):
        return False
    found = False

    async def look(lines: list[bytes]) -> None:
        nonlocal found
        found = found or any(map(read_result, lines))

    for file in batch.files:
        reader = LineReader(look)
        # What cannot be had just now is of use: it is paid for.
        if found or await api.download(file, reader.feed) is not True:
            return True
        await reader.end()
    return found


def _each(config: Config, do: Callable[[BatchApi, Book, Submission], Awaitable[Shown]]) -> list[Shown]:
    config = for_provider(config)
    if not has_batches(config):
        return []
    return run_blocking(_all(config, do), lambda _: None)


async def _all(config: Config, do: Callable[[BatchApi, Book, Submission], Awaitable[Shown]]) -> list[Shown]:
    clock, endpoint, found = Clock(), endpoint_of(config), []
    async with turn(config.state.dir, clock):
        with Book(config.state.dir) as book:
            submissions = book.submissions()
            if not submissions:
                return []
            ensure_ready(config)
            async with opened_client(config) as client:
                api = BatchApi(client, clock, config.limits.max_outage)
                for each in submissions:
                    elsewhere = each.endpoint != endpoint
                    found.append(_shown(each, None, "elsewhere") if elsewhere else await do(api, book, each))
    return found


async def _get(api: BatchApi, submission: Submission) -> Batch | None:
    if submission.batch is not None:
        return await api.get(submission.batch)
    if submission.tried_at is None:
        return None
    return await api.find(submission.intent, submission.tried_at)


def _shown(submission: Submission, batch: Batch | None, status: str = "") -> Shown:
    since = datetime.fromtimestamp(submission.tried_at or submission.written_at, UTC)
    missing = UNSURE if submission.batch is None else UNKNOWN
    return Shown(
        batch=batch.name if batch else submission.batch,
        intent=submission.intent,
        run=submission.run,
        status=status or (batch.status if batch else missing),
        rows=submission.lines,
        done=batch.completed if batch else None,
        since=since.isoformat(timespec="seconds"),
        endpoint=submission.endpoint,
    )
