"""Early shutdown: the one place where signals, deadlines, failures and other threads ask a run to stop."""

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress

from pipeline.errors import InterruptedRunError, LimitReachedError, PipelineError, as_pipeline_error
from pipeline.system.interruption import SIGNALS, received


class Stop:
    """Collects stop requests: the first one drains the run, the second ends it at once.

    Attributes:
        reason: The first reason to stop; None if there is none yet.
        requested: Set once there is a reason.
        urgent: Set once the run was asked to stop at once.
        handles_signals: Whether SIGTERM, SIGINT and SIGHUP ask the run to stop.
        signalled: The name of the signal that was the first reason; None if it was another.
        on_request: Called at once with the first reason, on the event loop: whoever asks wants to see that it was heard.
    """

    def __init__(self) -> None:
        self.reason: PipelineError | None = None
        self.requested = asyncio.Event()
        self.urgent = asyncio.Event()
        self.handles_signals = False
        self.signalled: str | None = None
        self.on_request: Callable[[], None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Accept requests from signals and other threads while the block runs on this event loop."""
        self._loop = asyncio.get_running_loop()
        try:
            with self.handling_signals() if self.handles_signals else nullcontext():
                yield
        finally:
            self._loop = None

    def ask(self, reason: BaseException) -> None:
        """Ask the run to stop, from any thread; asked for the second time, it stops at once.

        A request before the run begins counts, too.
        """
        loop = self._loop
        if loop is None:
            self._escalate(reason)
        else:
            with suppress(RuntimeError):  # the loop has been closed: the run is over
                loop.call_soon_threadsafe(self._escalate, reason)

    def _escalate(self, reason: BaseException) -> None:
        if self.requested.is_set():
            self.urgent.set()
        self.set_reason(reason)

    def set_reason(self, reason: BaseException) -> None:
        """Stop the run because of *reason*; further reasons are ignored, as consequences of the first."""
        if self.reason is None:
            self.reason = as_pipeline_error(reason)
            self.requested.set()
            if self.on_request is not None:
                self.on_request()

    def signal(self, name: str) -> None:
        """Handle a signal: the first asks the run to stop, the second to stop at once."""
        if self.reason is None:
            self.signalled = name
        self._escalate(InterruptedRunError(f"stopped by {name}"))

    @contextmanager
    def deadline(self, seconds: float | None) -> Iterator[None]:
        """Ask the run to stop if the block takes longer than *seconds*; None sets no deadline."""
        reason = LimitReachedError(f"limits.max_runtime: {seconds} s are over")
        timer = (
            None
            if seconds is None
            else asyncio.get_running_loop().call_later(seconds, self.set_reason, reason)
        )
        try:
            yield
        finally:
            if timer is not None:
                timer.cancel()

    @contextmanager
    def handling_signals(self) -> Iterator[None]:
        """Handle SIGTERM, SIGINT and SIGHUP while the block runs, then restore their handlers.

        Does nothing outside the main thread, where Python allows no handlers.
        """
        loop = asyncio.get_running_loop()
        before = {number: signal.getsignal(number) for number in SIGNALS}
        # What is ignored stays ignored: that is what `nohup` and `&` are for.
        handled = [number for number in SIGNALS if before[number] is not signal.SIG_IGN]
        if threading.current_thread() is not threading.main_thread():
            handled = []
        for number in handled:
            loop.add_signal_handler(number, self.signal, number.name)
        if handled and (name := received()) is not None:
            self.signal(name)
        try:
            yield
        finally:
            for number in handled:
                loop.remove_signal_handler(number)
                signal.signal(number, before[number] or signal.SIG_DFL)
