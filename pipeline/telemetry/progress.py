"""Progress of a run, and its watchers: a bar on a terminal, log lines, both, or none."""

import logging
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from tqdm import tqdm

log = logging.getLogger(__name__)

BAR_SECONDS = 0.2
LOG_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run stands: `rows`, `done` and `failed` of its whole table, and what this execution of it has done.

    Attributes:
        rows: Rows of the input.
        done: Rows that are labelled.
        failed: Rows in written parts that have text but no labels.
        reused: Prompts whose answer this execution has found, and an earlier run has paid for.
        in_flight: Requests in flight.
        waiting: Whether the run waits for an endpoint that is away.
        requests: Requests sent by this execution.
        retries: How many of them were repetitions.
        throttled: How many of them the endpoint refused because of a rate limit.
        tokens: Tokens billed to this execution.
        cost_usd: US dollars billed to this execution; None where no price is known.
    """

    rows: int = 0
    done: int = 0
    failed: int = 0
    reused: int = 0
    in_flight: int = 0
    waiting: bool = False
    requests: int = 0
    retries: int = 0
    throttled: int = 0
    tokens: int = 0
    cost_usd: float | None = None

    def facts(self) -> dict[str, str]:
        """Return what this execution has done."""
        facts = {"reused": f"{self.reused:,}", "in flight": str(self.in_flight), "tokens": f"{self.tokens:,}"}
        if self.cost_usd is not None:
            facts["cost"] = f"${self.cost_usd:.4f}"
        if self.waiting:
            facts["endpoint"] = "away"
        return facts


Look = Callable[[], Progress]
"""Returns the progress at the time of the call."""


class Watcher(Protocol):
    """Shows the progress of a run while a block runs."""

    def watching(self, look: Look) -> AbstractAsyncContextManager[None]:
        """Show what *look* returns, repeatedly, until the block ends."""


class Silent:
    """A watcher that shows nothing."""

    @asynccontextmanager
    async def watching(self, look: Look) -> AsyncIterator[None]:  # noqa: ARG002 - the protocol's signature
        """Run the block."""
        yield


class Bar:
    """A progress bar on stderr: rows, rows per second, time left, failed, reused, in flight, tokens, cost."""

    @asynccontextmanager
    async def watching(self, look: Look) -> AsyncIterator[None]:
        """Show the bar until the block ends."""
        from tqdm import tqdm  # noqa: PLC0415 - only a terminal needs it

        bar: tqdm[Any] = tqdm(
            total=look().rows, unit=" rows", file=sys.stderr, dynamic_ncols=True, smoothing=0.1
        )
        try:
            async with _every(BAR_SECONDS, lambda: _draw(bar, look())):
                yield
            _draw(bar, look())
        finally:
            with suppress(OSError):
                bar.close()


class Tee:
    """Two watchers at once."""

    def __init__(self, one: Watcher, other: Watcher) -> None:
        self._one, self._other = one, other

    @asynccontextmanager
    async def watching(self, look: Look) -> AsyncIterator[None]:
        """Show progress with both until the block ends."""
        async with self._one.watching(look), self._other.watching(look):
            yield


class Log:
    """A log line every 30 seconds, and one at the end."""

    @asynccontextmanager
    async def watching(self, look: Look) -> AsyncIterator[None]:
        """Log progress until the block ends."""
        async with _every(LOG_SECONDS, lambda: _log(look())):
            yield
        _log(look())


def _draw(bar: "tqdm[Any]", progress: Progress) -> None:
    with suppress(OSError):  # the terminal may be gone, which is no reason to stop
        bar.set_postfix({"failed": f"{progress.failed:,}", **progress.facts()}, refresh=False)
        bar.update(progress.done - bar.n)


def _log(progress: Progress) -> None:
    facts = ", ".join(f"{value} {name}" for name, value in progress.facts().items())
    rows, done, failed = f"{progress.rows:,}", f"{progress.done:,}", f"{progress.failed:,}"
    log.info("%s of %s rows done, %s failed; since this start: %s", done, rows, failed, facts)


@asynccontextmanager
async def _every(seconds: float, show: Callable[[], None]) -> AsyncIterator[None]:
    """Call *show* every so many *seconds* until the block ends."""
    import asyncio  # noqa: PLC0415 - a finished job has no watcher and must not wait for it

    async def repeat() -> None:
        while True:
            await asyncio.sleep(seconds)
            show()

    task = asyncio.create_task(repeat())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
