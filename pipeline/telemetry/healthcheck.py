"""Health check pings, as healthchecks.io expects them: a run reports its start and its end, and never depends on it.

https://healthchecks.io/docs/http_api: a ping of URL/start, then of URL or of URL/fail, each with up to 100 KB of text.
"""

import logging
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Thread
from typing import TYPE_CHECKING

from pipeline.errors import InterruptedRunError, LockedError, WaitingError, as_pipeline_error
from pipeline.telemetry.logs import OWN_LOGGER, hide, one_line

if TYPE_CHECKING:
    from pipeline.telemetry.summary import RunResult

log = logging.getLogger(__name__)

PING_SECONDS = 5.0
"""Timeout of a ping; a run that has ended waits no longer for its last ping."""

INTERRUPTED_PING_SECONDS = 1.0
"""Timeout of the last ping of an interrupted run: Airflow kills 5 s after it has asked the run to end."""

TAIL_LINES = 100


class _Tail(logging.Handler):
    """The last log lines."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: deque[str] = deque(maxlen=TAIL_LINES)

    def emit(self, record: logging.LogRecord) -> None:
        moment = time.strftime("%H:%M:%S", time.localtime(record.created))
        self.lines.append(f"{moment} {record.levelname.lower()}: {one_line(record.getMessage())}")


class HealthCheck:
    """The health check at one URL, pinged from threads of its own; None pings nothing.

    Attributes:
        has_started: Whether the start of a run was reported.
    """

    def __init__(self, url: str | None) -> None:
        self.has_started = False
        self._url = url
        self._tail = _Tail()
        self._first: Thread | None = None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Keep the last lines that are logged while the block runs."""
        if self._url is None:  # a handler, even an idle one, disables Python's own last resort for warnings
            yield
            return
        logger = logging.getLogger(OWN_LOGGER)
        logger.addHandler(self._tail)
        try:
            yield
        finally:
            logger.removeHandler(self._tail)

    def report_start(self) -> None:
        """Report that a run has started."""
        self.has_started = True
        self._first = self._ping("/start", "")

    def report_result(self, result: "RunResult") -> None:
        """Report that the run has ended with *result*."""
        text = f"{result.rows} rows, {result.ok} labelled, {result.empty} empty, {result.failed} failed; {result.requests} requests"
        if result.exit_status:
            text += "; more rows failed than limits.max_failed allows"
        self._last_ping("/fail" if result.exit_status else "", text, PING_SECONDS)

    def report_failure(self, error: BaseException) -> None:
        """Report that the run has ended with *error*."""
        failure = as_pipeline_error(error)
        is_interrupted = isinstance(failure, InterruptedRunError)
        # Waiting is neither an end nor a failure: it is told, and changes nothing.
        self._last_ping(
            "/log" if isinstance(failure, WaitingError) else "/fail",
            f"error: {one_line('; '.join(failure.problems))}",
            INTERRUPTED_PING_SECONDS if is_interrupted else PING_SECONDS,
        )

    def _last_ping(self, suffix: str, text: str, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        # The run is over: Ctrl-C ends the wait for the ping, and nothing else.
        with suppress(KeyboardInterrupt):
            if self._first is not None:
                self._first.join(seconds / 2)  # pings arrive in order, unless the first one hangs
            thread = self._ping(suffix, "\n".join([*self._tail.lines, text]))
            if thread is None:
                return
            thread.join(max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                log.warning("notify.healthcheck_url: no answer in time; it may not know how the run ended")

    def _ping(self, suffix: str, text: str) -> Thread | None:
        if self._url is None:
            return None
        # A daemon, so that a server that hangs does not keep the process from exiting.
        thread = Thread(
            target=_send, args=(self._url + suffix, text.encode()), name="pipeline-healthcheck", daemon=True
        )
        thread.start()
        return thread


def _send(url: str, content: bytes) -> None:
    """Ping, and once more if that fails: a hiccup of the name server is no reason for an alarm."""
    from http.client import HTTPException  # noqa: PLC0415 - 30 ms, in this thread
    from urllib.request import HTTPRedirectHandler, Request, build_opener  # noqa: PLC0415

    class NoRedirects(HTTPRedirectHandler):
        def redirect_request(self, *_: object) -> None:
            """Follow no redirect: the end of the log is for the configured address only."""

    opener = build_opener(NoRedirects)
    for is_last in (False, True):
        try:
            request = Request(url, content)  # noqa: S310 - the config allows http and https only
            with opener.open(request, timeout=PING_SECONDS) as reply:
                reply.read(1)
        except (OSError, ValueError, HTTPException) as error:
            if is_last:  # names the error, as its text may hold the secret address
                reason = getattr(error, "code", None) or type(getattr(error, "reason", error)).__name__
                log.warning("notify.healthcheck_url: ping failed: %s", reason)
        else:
            return


@contextmanager
def reporting(url: str | None) -> Iterator[HealthCheck]:
    """Report an error that ends the block to the health check at *url*, if there is one."""
    check = HealthCheck(url)
    if url is not None:
        hide([url])
    with check.listening():
        try:
            yield check
        except LockedError as error:
            # A run that another one keeps from starting reports nothing: the other one reports how the job goes.
            if check.has_started:
                check.report_failure(error)
            raise
        except BaseException as error:
            check.report_failure(error)
            raise
