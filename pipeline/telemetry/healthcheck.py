"""Tells a health check that a run began and how it ended, in the way of healthchecks.io; the run never waits for it.

https://healthchecks.io/docs/http_api: a ping of URL/start, then of URL or of URL/fail, each with up to 100 KB of text.
"""

import logging
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Thread
from typing import TYPE_CHECKING

from pipeline.errors import InterruptedRunError, LockedError, as_pipeline_error
from pipeline.telemetry.logs import OURS, hide, one_line

if TYPE_CHECKING:
    from pipeline.summary import RunResult

log = logging.getLogger(__name__)

PING_SECONDS = 5.0
"""A ping may take about so long; a run that has ended waits so long for its last ping, and no longer."""

HURRY_SECONDS = 1.0
"""How long it waits where somebody wants it to end: Airflow kills 5 s after it has asked, systemd may, too."""

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
    """Pings one URL, in threads of its own; None pings nobody.

    Attributes:
        has_begun: Whether it was told that a run has begun.
    """

    def __init__(self, url: str | None) -> None:
        self.has_begun = False
        self._url = url
        self._tail = _Tail()
        self._first: Thread | None = None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Remember what is logged while the block runs."""
        if self._url is None:  # a handler of ours would silence Python's own last resort for warnings
            yield
            return
        ours = logging.getLogger(OURS)
        ours.addHandler(self._tail)
        try:
            yield
        finally:
            ours.removeHandler(self._tail)

    def begun(self) -> None:
        """Tell that the run has begun."""
        self.has_begun = True
        self._first = self._ping("/start", "")

    def done(self, result: "RunResult") -> None:
        """Tell that the run has ended with *result*."""
        said = f"{result.rows} rows, {result.ok} labelled, {result.failed} failed; {result.requests} requests"
        if result.exit_status:
            said += "; more rows failed than limits.max_failed allows"
        self._last_ping("/fail" if result.exit_status else "", said, PING_SECONDS)

    def failed(self, error: BaseException) -> None:
        """Tell that the run has ended with *error*."""
        failure = as_pipeline_error(error)
        hurry = isinstance(failure, InterruptedRunError)
        self._last_ping(
            "/fail",
            f"error: {one_line('; '.join(failure.problems))}",
            HURRY_SECONDS if hurry else PING_SECONDS,
        )

    def _last_ping(self, place: str, said: str, seconds: float) -> None:
        until = time.monotonic() + seconds
        with suppress(KeyboardInterrupt):  # whoever is in a hurry need not wait: the run is over
            if self._first is not None:
                self._first.join(seconds / 2)  # in order, unless the first one hangs
            thread = self._ping(place, "\n".join([*self._tail.lines, said]))
            if thread is None:
                return
            thread.join(max(0.0, until - time.monotonic()))
            if thread.is_alive():
                log.warning("notify.healthcheck_url: no answer in time; it may not know how the run ended")

    def _ping(self, place: str, text: str) -> Thread | None:
        if self._url is None:
            return None
        thread = Thread(
            target=_send, args=(self._url + place, text.encode()), name="pipeline-healthcheck", daemon=True
        )
        thread.start()
        return thread


def _send(url: str, content: bytes) -> None:
    """Ping once, and once more if that fails: a night's name server is no reason for an alarm."""
    from http.client import HTTPException  # noqa: PLC0415 - 30 ms for which no run waits
    from urllib.request import HTTPRedirectHandler, Request, build_opener  # noqa: PLC0415

    class Stay(HTTPRedirectHandler):
        def redirect_request(self, *_: object) -> None:
            """Follow nobody elsewhere: the end of the log is for that address alone."""

    opener = build_opener(Stay)
    for last in (False, True):
        try:
            request = Request(url, content)  # noqa: S310 - http and https only, says the config
            with opener.open(request, timeout=PING_SECONDS) as reply:
                reply.read(1)
        except (OSError, ValueError, HTTPException) as error:
            if last:  # an error's text may hold the address
                reason = getattr(error, "code", None) or type(getattr(error, "reason", error)).__name__
                log.warning("notify.healthcheck_url: could not be told: %s", reason)
        else:
            return


@contextmanager
def reporting(url: str | None) -> Iterator[HealthCheck]:
    """Tell the health check at *url*, if there is one, of an error that ends the block.

    A run that never begins because another one has the output says nothing: that one tells how the job is.
    """
    check = HealthCheck(url)
    if url is not None:
        hide([url])
    with check.listening():
        try:
            yield check
        except LockedError as error:
            if check.has_begun:
                check.failed(error)
            raise
        except BaseException as error:
            check.failed(error)
            raise
