"""Who watches a run: a person at a terminal, a log file, or nobody."""

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
    """Where a run stands.

    Attributes:
        rows: Rows of the input.
        done: Rows whose part is written.
        failed: Rows among the done ones that have text and no labels.
        reused: Prompts answered from earlier runs.
        in_flight: Requests on their way.
        waiting: Whether the endpoint is away and the run waits for it.
        requests: Requests sent by this execution.
        retries: Those that had to be repeated.
        tokens: Tokens billed to this execution.
        cost_usd: US dollars spent by the run; None where no price is known.
    """

    rows: int = 0
    done: int = 0
    failed: int = 0
    reused: int = 0
    in_flight: int = 0
    waiting: bool = False
    requests: int = 0
    retries: int = 0
    tokens: int = 0
    cost_usd: float | None = None

    def facts(self) -> dict[str, str]:
        """Return what is worth showing beside the rows."""
        facts = {"reused": f"{self.reused:,}", "failed": f"{self.failed:,}", "in flight": str(self.in_flight)}
        facts["tokens"] = f"{self.tokens:,}"
        if self.cost_usd is not None:
            facts["cost"] = f"${self.cost_usd:.4f}"
        if self.waiting:
            facts["endpoint"] = "away"
        return facts


Look = Callable[[], Progress]


class Watcher(Protocol):
    """Shows progress while a block runs."""

    def watching(self, look: Look) -> AbstractAsyncContextManager[None]:
        """Show what *look* returns, now and then, until the block ends."""


class Silent:
    """Shows nothing."""

    @asynccontextmanager
    async def watching(self, look: Look) -> AsyncIterator[None]:  # noqa: ARG002 - the protocol's signature
        """Do nothing."""
        yield


class Bar:
    """A progress bar on stderr: rows, rows per second, time left, reused, failed, in flight, tokens, cost."""

    @asynccontextmanager
    async def watching(self, look: Look) -> AsyncIterator[None]:
        """Keep a bar on the terminal until the block ends."""
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
        """Let both watch until the block ends."""
        async with self._one.watching(look), self._other.watching(look):
            yield


class Log:
    """A log line every 30 seconds, and one at the end."""

    @asynccontextmanager
    async def watching(self, look: Look) -> AsyncIterator[None]:
        """Log until the block ends."""
        async with _every(LOG_SECONDS, lambda: _tell(look())):
            yield
        _tell(look())


def _draw(bar: "tqdm[Any]", progress: Progress) -> None:
    with suppress(OSError):  # a terminal that has gone away is no reason to stop
        bar.set_postfix(progress.facts(), refresh=False)
        bar.update(progress.done - bar.n)


def _tell(progress: Progress) -> None:
    facts = ", ".join(f"{value} {name}" for name, value in progress.facts().items())
    log.info("%s of %s rows done: %s", f"{progress.done:,}", f"{progress.rows:,}", facts)


@asynccontextmanager
async def _every(seconds: float, show: Callable[[], None]) -> AsyncIterator[None]:
    import asyncio  # noqa: PLC0415 - whoever watches a finished job does not wait for it

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
