"""The HTTP client: one call in, one reply or failure out."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from email.utils import formatdate
from typing import Any, cast
from urllib.parse import quote

import aiohttp
import orjson
from yarl import URL

from pipeline.errors import ConfigError
from pipeline.llm.protocol.headers import window
from pipeline.llm.protocol.reply import OK, read
from pipeline.llm.replies import Failure, FailureKind, Reply, Window
from pipeline.llm.transport.deadlines import Deadlines
from pipeline.llm.transport.wire import BROKEN, UNZIP, Response, Target, Wire
from pipeline.system.redaction import Redaction
from pipeline.telemetry.logs import hide

MAX_BODY_BYTES = 1 << 20
"""A larger response is not read: a completion with a few labels has a few KiB, with log-probabilities a few dozen."""

MODEL_SECONDS = 30.0
"""Timeout of the request for the model object."""

Headers = Callable[[], Mapping[str, str]]


class Client:
    """A client of one endpoint, with a connection pool; made by `Client.open`."""

    def __init__(self, wire: Wire, base_url: str, headers: Headers) -> None:
        self._wire = wire
        self._read_headers = headers
        self._headers: dict[str, str] = {}
        self._secrets: set[str] = set()
        self._redaction = Redaction()
        self._base_url = base_url
        self._deadlines = Deadlines()
        self.refresh()

    @classmethod
    @asynccontextmanager
    async def open(cls, base_url: str, headers: Headers) -> "AsyncIterator[Client]":
        """Open a client for the endpoint at *base_url*; *headers* returns the headers of every request.

        Raises:
            ConfigError: If *headers* finds no key, or *base_url* is no valid URL.
        """
        wire = Wire()
        try:
            yield cls(wire, base_url, headers)
        finally:
            await wire.close()

    def refresh(self) -> None:
        """Read the headers again, because a key that was refused may have been rotated.

        Raises:
            ConfigError: If no key can be read and there is none from before.
        """
        own = {"Content-Type": "application/json", "Accept-Encoding": ", ".join(UNZIP)}
        try:
            given = self._read_headers()
        except ConfigError:
            if not self._headers:
                raise
            return  # the old key stays in use while the new one cannot be read
        wanted = {**given, **own}
        if wanted == self._headers:
            return
        self._headers = wanted
        self._completions = self._target("POST", "chat/completions")
        # The old ones stay: a reply in flight may still repeat an old key.
        self._secrets.update(given.values())
        self._redaction = Redaction(self._secrets)
        hide(given.values())

    async def ask(self, body: bytes, timeout_seconds: float) -> tuple[Reply | Failure, Window | None]:
        """Send one chat completion request; whatever goes wrong with it is returned as a failure."""
        target = self._completions
        task = cast("asyncio.Task[object]", asyncio.current_task())
        self._deadlines.begin(task, timeout_seconds)
        try:
            response = await self._wire.exchange(target, body, MAX_BODY_BYTES)
            if response.content is None:
                return _too_big(), None
            headers = self._without_secrets(response)
            outcome = read(response.status, headers, self._redacted(response.content))
            if (
                isinstance(outcome, Failure)
                and outcome.kind is FailureKind.DENIED
                and target is not self._completions  # refreshed since the request was sent
            ):
                outcome = replace(outcome, kind=FailureKind.REPLACED)
            return outcome, window(headers)
        except asyncio.CancelledError:
            if not self._deadlines.end(task) or task.uncancel() > 0:
                raise  # cancelled by someone else, too
            return Failure(
                FailureKind.TRANSIENT, f"no whole reply within {timeout_seconds:g} s", timed_out=True
            ), None
        except BROKEN as error:
            return _failure(error, timeout_seconds, self._redaction), None
        finally:
            self._deadlines.end(task)

    async def model(self, name: str) -> Mapping[str, Any] | Failure:
        """Return the endpoint's object for the model *name*, or a failure."""
        try:
            async with asyncio.timeout(MODEL_SECONDS):
                target = self._target("GET", f"models/{quote(name, safe='')}")
                response = await self._wire.exchange(target, b"", MAX_BODY_BYTES)
            content = response.content and self._redacted(response.content)
            return _model_object(response.status, response.headers, content)
        except BROKEN as error:
            return _failure(error, MODEL_SECONDS, self._redaction)

    def _target(self, method: str, path: str) -> Target:
        url = f"{self._base_url}/{path}"
        try:
            return Target(method, URL(url), self._headers)
        except ValueError as error:
            raise ConfigError(f"model.base_url is no valid URL: {error}") from error

    def _without_secrets(self, response: Response) -> Mapping[str, str]:
        if response.status == OK:  # these appear in no message
            return response.headers
        found = {name.lower(): self._redaction.of(value) for name, value in response.headers.items()}
        # A server without a Date header is taken to go by this machine's clock.
        return {"date": formatdate(usegmt=True), **found}

    def _redacted(self, content: bytes) -> bytes:
        # Some endpoints repeat a refused key in their message.
        return self._redaction.of_bytes(content)


def _too_big() -> Failure:
    return Failure(FailureKind.GARBLED, f"the endpoint's reply is larger than {MAX_BODY_BYTES >> 20} MiB")


def _failure(error: Exception, timeout_seconds: float, redaction: Redaction) -> Failure:
    match error:
        case aiohttp.ClientConnectorCertificateError() | ssl.SSLCertVerificationError():
            return Failure(FailureKind.UNTRUSTED, f"the endpoint's certificate is not valid: {error}")
        case aiohttp.ConnectionTimeoutError() | aiohttp.ClientConnectorError():
            return Failure(
                FailureKind.UNREACHABLE, f"no connection to the endpoint: {str(error) or 'timed out'}"
            )
        case asyncio.TimeoutError():
            return Failure(
                FailureKind.TRANSIENT, f"no whole reply within {timeout_seconds:g} s", timed_out=True
            )
        case _:
            # Some of these errors quote the bytes that were received.
            message = redaction.of(str(error))[:200]
            return Failure(FailureKind.TRANSIENT, f"the connection broke: {type(error).__name__}: {message}")


def _model_object(
    status: int, headers: Mapping[str, str], content: bytes | None
) -> Mapping[str, Any] | Failure:
    if content is not None and status == OK:
        try:
            found = orjson.loads(content)
        except ValueError:
            found = None
        if isinstance(found, dict):
            return found
    outcome = read(status, headers, content or b"")
    return (
        outcome
        if isinstance(outcome, Failure)
        else Failure(FailureKind.GARBLED, "not a model object", status)
    )
