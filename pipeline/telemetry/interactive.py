"""The progress bar of a notebook or a prompt: a widget where the notebook has them, and text elsewhere."""

import asyncio
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from pipeline.figures import usd
from pipeline.telemetry.progress import BAR_FORM, Look

SECONDS = 0.2


class InteractiveBar:
    """A watcher: rows, rows per second, time left, failed and cost, by `tqdm.auto`."""

    @asynccontextmanager
    async def watching(self, look: Look) -> AsyncIterator[None]:
        """Show the bar until the block ends."""
        bar = _new_bar(look().rows)
        drawing = asyncio.create_task(_draw_repeatedly(bar, look))
        try:
            yield
            _draw(bar, look)
        finally:
            drawing.cancel()
            await asyncio.gather(drawing, return_exceptions=True)
            with suppress(OSError):
                bar.close()


def _new_bar(rows: int) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it would tell to install widgets, which are no must
        from tqdm.auto import tqdm  # noqa: PLC0415 - only who looks at it needs it

        return tqdm(total=rows, unit=" rows", bar_format=BAR_FORM, dynamic_ncols=True, smoothing=0.1)


async def _draw_repeatedly(bar: Any, look: Look) -> None:
    while True:
        await asyncio.sleep(SECONDS)
        _draw(bar, look)


def _draw(bar: Any, look: Look) -> None:
    progress = look()
    facts = {"failed": f"{progress.failed:,}"}
    if progress.cost_usd is not None:
        facts["cost"] = usd(progress.cost_usd)
    if progress.waiting:
        facts["endpoint"] = "away"
    with suppress(OSError):  # the terminal may be gone, which is no reason to stop
        bar.set_postfix(facts, refresh=False)
        bar.update(progress.done - bar.n)
