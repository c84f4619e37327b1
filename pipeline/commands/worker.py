"""A worker's process: does what it is told through a pipe, for `run --workers`; see `engine.worker`."""

import asyncio
import logging
import signal
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from multiprocessing.connection import Connection
from typing import Any, Protocol

from pipeline.commands.slice import Answering
from pipeline.engine.lifecycle import Execution
from pipeline.engine.worker import Assignment, End, Line
from pipeline.errors import InterruptedRunError, as_pipeline_error
from pipeline.job.fence import Fence
from pipeline.ledger.store import RunTotals
from pipeline.system.clock import Clock
from pipeline.system.interruption import SIGNALS
from pipeline.system.memory import limit_free_memory, relaxed_gc
from pipeline.system.shutdown import Stop
from pipeline.system.threads import run_blocking
from pipeline.telemetry.logs import OWN_LOGGER, said
from pipeline.telemetry.pace import Look

TELL_SECONDS = 0.25


class Sink(Protocol):
    """Takes what a worker tells."""

    def send(self, message: Any, /) -> None:
        """Take *message* to whoever runs the worker."""


class Told(logging.Handler):
    """Passes log lines on, and how far the worker is; from any thread."""

    def __init__(self, pipe: Sink, level: int) -> None:
        super().__init__(level)
        self._pipe, self._sending = pipe, threading.Lock()

    def tell(self, message: object) -> None:
        """Send *message*, unless nobody is there any more."""
        with suppress(OSError), self._sending:
            self._pipe.send(message)

    def emit(self, record: logging.LogRecord) -> None:
        """Send a log line."""
        if not getattr(record, "bare", False):  # how it stops is said once, by the run
            self.tell(Line(record.name, record.levelno, said(record)))

    @asynccontextmanager
    async def watching(self, look: Look) -> AsyncIterator[None]:
        """Tell how far the worker is until the block ends, and then once more."""
        repeated = asyncio.create_task(self._repeat(look))
        try:
            yield
        finally:
            repeated.cancel()
            self.tell(look())

    async def _repeat(self, look: Look) -> None:
        while True:
            self.tell(look())
            await asyncio.sleep(TELL_SECONDS)


class Share(Answering):
    """The keys of a worker on their way to the ledger; what they have cost is counted by the run, which publishes."""

    async def _paid(self, run: str) -> RunTotals:
        return RunTotals(run, 0, 0, 0, None)


async def answer(work: Assignment, pipe: Connection, told: Told) -> None:
    """Answer what is assigned, and tell how that ended."""
    clock, stop = Clock(), Stop()
    with stop.listening(), relaxed_gc():
        threading.Thread(target=_listen, args=(pipe, stop), daemon=True).start()
        fence = Fence(clock, *work.leashes)
        end = End(None, (), None, {})
        try:
            async with fence.monitored(stop.set_reason):
                execution = Execution(work.job, fence, stop, clock)
                if execution.second is not None:
                    execution.second.is_left = True  # to the run, so that its limits hold
                try:
                    await Share(execution, told, work.part, work.spans).go()
                finally:
                    end = End(None, (), execution.price_source, execution.latencies)
        except BaseException as error:  # noqa: BLE001 - the run raises it
            failure = as_pipeline_error(error)
            end = End(type(failure), failure.problems, end.price_source, end.latencies)
        told.tell(end)


def _listen(pipe: Connection, stop: Stop) -> None:
    """Pass on what the run asks for, until it has ended: to stop, and to stop at once."""
    reason = InterruptedRunError("the run stops")
    try:
        while True:
            pipe.recv()
            stop.ask(reason)
    except (EOFError, OSError):
        if stop.reason is None:  # to stop gently is enough: what is in flight will be billed
            stop.ask(reason)


def main(descriptor: int) -> None:
    """Take an assignment from the pipe that has this *descriptor*, and do it."""
    pipe = Connection(descriptor)
    for number in SIGNALS:  # the run has them, too, and says what is to be done
        signal.signal(number, signal.SIG_IGN)
    work: Assignment = pipe.recv()
    told = Told(pipe, work.level)
    logger = logging.getLogger(OWN_LOGGER)
    logger.handlers, logger.propagate = [told], False
    logger.setLevel(work.level)
    limit_free_memory()
    run_blocking(answer(work, pipe, told), lambda _: None)
