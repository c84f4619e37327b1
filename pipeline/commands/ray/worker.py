"""A worker of a run on Ray: an actor on any node that answers the keys of one slice, as `run --slice` does."""

import logging
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline.commands.ray.link import SCHEME, Link
from pipeline.commands.ray.quota import Term
from pipeline.commands.ray.right import TAKEN_OVER_SECONDS
from pipeline.commands.slice import run_slice
from pipeline.commands.worker import Told
from pipeline.config import Config
from pipeline.engine.worker import End
from pipeline.errors import CannotCreateError, InputDataError, LockedError, as_pipeline_error
from pipeline.job.options import RunOptions
from pipeline.job.prepare import Start, started
from pipeline.llm.pacing.shared.named import ELSEWHERE
from pipeline.storage import Both
from pipeline.system.shutdown import Stop
from pipeline.system.threads import run_blocking
from pipeline.telemetry.logs import OWN_LOGGER
from pipeline.telemetry.pace import Progress

TRY_SECONDS = 0.5


def ensure_seen(state: Path, mark: Path, name: str) -> None:
    """Check that this node sees the state directory *state*, by the *name* in its file *mark*.

    Raises:
        CannotCreateError: If it does not.
    """
    try:
        is_seen = mark.read_text() == name
    except OSError:
        is_seen = False
    if not is_seen:
        raise CannotCreateError(
            f"{state}: node {socket.gethostname()} does not see this folder; on a cluster, state.dir has to be a folder on "
            "a disk that all nodes share"
        )


class SliceWorker:
    """The actor. Each is used once: `work` ends with its slice."""

    def __init__(self, config: Config, options: RunOptions, term: Term, quota: Any, level: int) -> None:
        self._config, self._options, self._term = config, options, term
        self._stop = Stop()
        self._link = Link(quota, term, self._stop)
        self._told = Told(self._link, level)
        logger = logging.getLogger(OWN_LOGGER)
        logger.handlers, logger.propagate = [self._told], False
        logger.setLevel(level)
        ELSEWHERE[SCHEME] = self._link.state

    def work(self, mark: Path, name: str, identity: str) -> End | None:
        """Answer the keys of the slice, and return how that has ended; None if the slice may be another worker's by now.

        The state directory is the run's if it has the *name* in the file *mark*; the input, if the job has this *identity*.
        """
        try:
            ensure_seen(self._config.state.dir, mark, name)
            with self._link.beating(), self._started(identity) as start:
                if start.result is None:
                    return self._answer(start)
                self._link.send(Progress(done=start.job.source.rows))
        except BaseException as error:  # noqa: BLE001 - the run raises it
            failure = as_pipeline_error(error)
            return End(type(failure), failure.problems, None, {})
        return End(None, (), None, {})

    def _answer(self, start: Start) -> End | None:
        held = replace(start, lock=Both(self._link.right, start.lock))
        try:
            run_blocking(run_slice(held, watch=self._told, stop=self._stop), self._stop.ask)
        except LockedError:
            return None
        return End(None, (), None, {})

    @contextmanager
    def _started(self, identity: str) -> Iterator[Start]:
        """Prepare and lock the slice; a worker of a run that was killed a moment ago may still have it."""
        deadline, start = time.monotonic() + TAKEN_OVER_SECONDS, None
        with ExitStack() as locked:
            while start is None:
                try:
                    start = locked.enter_context(started(self._config, self._options))
                except LockedError:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(TRY_SECONDS)
            if start.job.identity != identity:
                raise InputDataError(
                    f"{self._config.input.path}: node {socket.gethostname()} sees another input there than the driver"
                )
            yield start
