"""Tells a health check that a run began and how it ended, in the way of healthchecks.io; the run never waits for it.

https://healthchecks.io/docs/http_api: a ping of URL/start, then of URL or of URL/fail, each with up to 100 KB of text.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from typing import TYPE_CHECKING

from pipeline.errors import LockedError, as_pipeline_error
from pipeline.logs import OURS, hide, one_line

if TYPE_CHECKING:
    from pipeline.result import RunResult

log = logging.getLogger(__name__)

PING_SECONDS = 5.0
"""A ping may take so long; and a run that has ended waits so long for its last ping, and no longer."""

TAIL_LINES = 100


class _Tail(logging.Handler):
    """Keeps the last log lines."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: deque[str] = deque(maxlen=TAIL_LINES)

    def emit(self, record: logging.LogRecord) -> None:
        moment = time.strftime("%H:%M:%S", time.localtime(record.created))
        self.lines.append(f"{moment} {record.levelname.lower()}: {one_line(record.getMessage())}")


class HealthCheck:
    """Pings one URL from a thread of its own, in order; None pings nobody."""

    def __init__(self, url: str | None) -> None:
        self._url = url
        self._tail = _Tail()
        self._pings: SimpleQueue[tuple[str, str] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="pipeline-healthcheck", daemon=True)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Remember what is logged while the block runs, and send what is still to be sent when it ends."""
        if self._url is None:
            yield
            return
        hide([self._url])
        ours = logging.getLogger(OURS)
        ours.addHandler(self._tail)
        self._thread.start()
        try:
            yield
        finally:
            ours.removeHandler(self._tail)
            self._pings.put(None)
            self._thread.join(PING_SECONDS)

    def begun(self) -> None:
        """Tell that the run has begun."""
        self._pings.put(("/start", ""))

    def done(self, result: "RunResult") -> None:
        """Tell that the run has ended with *result*."""
        said = f"{result.rows} rows, {result.ok} labelled, {result.failed} failed; {result.requests} requests"
        self._pings.put(("/fail" if result.exit_status else "", self._text(said)))

    def failed(self, error: BaseException) -> None:
        """Tell that the run has ended with *error*."""
        self._pings.put(("/fail", self._text(f"error: {one_line(str(as_pipeline_error(error)))}")))

    def _text(self, last: str) -> str:
        return "\n".join([*self._tail.lines, last])

    def _work(self) -> None:
        from http.client import HTTPException  # noqa: PLC0415 - 30 ms for which no run waits
        from urllib.request import Request, urlopen  # noqa: PLC0415

        while (ping := self._pings.get()) is not None:
            place, text = ping
            try:
                request = Request(f"{self._url}{place}", text.encode())  # noqa: S310 - http and https only, says the config
                with urlopen(request, timeout=PING_SECONDS) as reply:  # noqa: S310
                    reply.read(1)
            except (OSError, ValueError, HTTPException) as error:
                log.warning("notify.healthcheck_url: could not be told: %s", error)


@contextmanager
def told(url: str | None) -> Iterator[HealthCheck]:
    """Tell the health check at *url*, if there is one, of an error that ends the block.

    A run that gives way to another one says nothing: the other one tells how the job is.
    """
    check = HealthCheck(url)
    with check.listening():
        try:
            yield check
        except LockedError:
            raise
        except BaseException as error:
            check.failed(error)
            raise
