"""Why a run must end early: one place that signals, deadlines, failures and other threads tell."""

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress

from pipeline.errors import InterruptedRunError, LimitReachedError, PipelineError, as_pipeline_error

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Stop:
    """Remembers the first reason to stop, and whether somebody is in a hurry.

    Attributes:
        heeds_signals: Whether SIGTERM, SIGINT and SIGHUP are reasons.
    """

    def __init__(self) -> None:
        self.reason: PipelineError | None = None
        self.requested = asyncio.Event()
        self.hurried = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self.heeds_signals = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take what signals and other threads ask while the block runs on this event loop."""
        self._loop = asyncio.get_running_loop()
        try:
            with self.on_signals() if self.heeds_signals else nullcontext():
                yield
        finally:
            self._loop = None

    def ask(self, reason: BaseException) -> None:
        """Ask the run to stop, from any thread, and for the second time: to stop at once.

        What is asked before it begins holds, too.
        """
        loop = self._loop
        if loop is None:
            self._told(reason)
        else:
            with suppress(RuntimeError):  # the loop was closed meanwhile: the run is over
                loop.call_soon_threadsafe(self._told, reason)

    def _told(self, reason: BaseException) -> None:
        if self.requested.is_set():
            self.hurried.set()
        self.request(reason)

    def request(self, reason: BaseException) -> None:
        """Ask the run to stop because of *reason*; later reasons are ignored."""
        if self.reason is None:
            self.reason = as_pipeline_error(reason)
            self.requested.set()

    def signal(self, name: str) -> None:
        """Take a signal: the first asks to stop, the second to stop at once."""
        self._told(InterruptedRunError(f"stopped by {name}; run the same command again to continue"))

    @contextmanager
    def after(self, seconds: float | None) -> Iterator[None]:
        """Ask the run to stop if the block takes longer than *seconds*; None is for ever."""
        reason = LimitReachedError(
            f"limits.max_runtime: {seconds} s are over; run the same command again to continue"
        )
        timer = (
            None if seconds is None else asyncio.get_running_loop().call_later(seconds, self.request, reason)
        )
        try:
            yield
        finally:
            if timer is not None:
                timer.cancel()

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """Listen to SIGTERM, SIGINT and SIGHUP while the block runs; does nothing outside the main thread.

        A signal that is ignored stays so: `nohup` and `&` mean it. Afterwards the handlers are what they were.
        """
        loop = asyncio.get_running_loop()
        before = {number: signal.getsignal(number) for number in SIGNALS}
        mine = [number for number in SIGNALS if before[number] is not signal.SIG_IGN]
        if threading.current_thread() is not threading.main_thread():
            mine = []
        for number in mine:
            loop.add_signal_handler(number, self.signal, number.name)
        try:
            yield
        finally:
            for number in mine:
                loop.remove_signal_handler(number)
                signal.signal(number, before[number] or signal.SIG_DFL)
