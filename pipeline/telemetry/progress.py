"""Progress of a run, and its watchers: a display at a terminal, a plain bar, log lines, several of them, or none."""

import logging
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Protocol

from pipeline import figures as write
from pipeline.telemetry.pace import Look, Pace, Progress

if TYPE_CHECKING:
    from tqdm import tqdm

__all__ = ["Bar", "Log", "Look", "Progress", "Silent", "Tee", "Terminal", "Watcher"]

log = logging.getLogger(__name__)

BAR_SECONDS = 0.2
LOG_SECONDS = 30.0

BAR_FORM = "{desc}{percentage:3.0f} %|{bar}{r_bar}"
"""The form of tqdm's bars: its own but for the blank before the sign, as everywhere."""


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


class Terminal:
    """The display of the command line at a terminal: a bar and figures that fit its width, log lines above them."""

    @asynccontextmanager
    async def watching(self, look: Look) -> AsyncIterator[None]:
        """Show the display until the block ends."""
        from pipeline.telemetry.terminal import Display  # noqa: PLC0415 - imports rich, which only a terminal needs

        display = Display(Pace(look))
        with display.shown():
            async with _every(BAR_SECONDS, display.draw):
                yield


class Bar:
    """A progress bar of tqdm on stderr, for scripts and notebooks: rows, rows per second, time left, and the facts."""

    @asynccontextmanager
    async def watching(self, look: Look) -> AsyncIterator[None]:
        """Show the bar until the block ends."""
        from tqdm.auto import tqdm  # noqa: PLC0415 - only who asks for it needs it; a notebook gets a widget

        bar: tqdm[Any] = tqdm(
            total=look().rows,
            unit=" rows",
            bar_format=BAR_FORM,
            file=sys.stderr,
            dynamic_ncols=True,
            smoothing=0.1,
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
        pace = Pace(look)
        pace.look()  # from here on it is measured
        async with _every(LOG_SECONDS, lambda: _log(pace)):
            yield
        _log(pace)


def _draw(bar: "tqdm[Any]", progress: Progress) -> None:
    with suppress(OSError):  # the terminal may be gone, which is no reason to stop
        bar.set_postfix({"failed": f"{progress.failed:,}", **progress.facts()}, refresh=False)
        bar.update(max(progress.done - bar.n, 0))


def _log(pace: Pace) -> None:
    standing = pace.look()
    progress = standing.progress
    facts = ", ".join(f"{value} {name}" for name, value in progress.facts().items())
    speed = (
        f"{write.rate(standing.rate)} rows/s, {write.clock(standing.left)} left"
        if standing.rate
        else "no pace yet"
    )
    log.info(
        "%s of %s rows done (%s), %s failed, %s; since this start: %s",
        f"{standing.done:,}",
        f"{progress.rows:,}",
        write.reached(standing.share),
        f"{progress.failed:,}",
        speed,
        facts,
    )


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
