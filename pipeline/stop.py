"""Why a run must end early: one place that signals, deadlines and failures tell."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.errors import InterruptedRunError, PipelineError

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Stop:
    """Remembers the first reason to stop, and whether somebody is in a hurry."""

    def __init__(self) -> None:
        self.reason: PipelineError | None = None
        self.requested = asyncio.Event()
        self.hurried = asyncio.Event()

    def request(self, reason: BaseException) -> None:
        """Ask the run to stop because of *reason*; later reasons are ignored."""
        if self.reason is None:
            self.reason = as_pipeline_error(reason)
            self.requested.set()

    def signal(self, name: str) -> None:
        """Take a signal: the first asks to stop, the second to stop at once."""
        if self.requested.is_set():
            self.hurried.set()
        self.request(InterruptedRunError(f"stopped by {name}; run the same command again to continue"))

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """Listen to SIGTERM, SIGINT and SIGHUP while the block runs; only in the main thread."""
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, self.signal, number.name)
        try:
            yield
        finally:
            for number in SIGNALS:
                loop.remove_signal_handler(number)


def as_pipeline_error(error: BaseException) -> PipelineError:
    """Return *error* if it is one of ours, the first of ours in a group, or a bug that wraps it."""
    if isinstance(error, PipelineError):
        return error
    if isinstance(error, BaseExceptionGroup):
        ours = error.subgroup(PipelineError)
        return as_pipeline_error((ours or error).exceptions[0])
    bug = PipelineError(f"a bug in pipeline: {type(error).__name__}: {error}; please report it")
    bug.__cause__ = error
    return bug
