"""The HTTP client: one call in, one reply or failure out."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from email.utils import formatdate
from typing import Any, cast
from urllib.parse import parse_qsl, quote, urlsplit

import orjson
from yarl import URL

from pipeline.errors import ConfigError
from pipeline.llm.protocol.failures import SUCCESSES
from pipeline.llm.protocol.headers import window
from pipeline.llm.protocol.reply import read
from pipeline.llm.replies import Failure, FailureKind, Reply, Window
from pipeline.llm.transport.bodies import UNZIP, Into, Upload
from pipeline.llm.transport.broken import PROXY_REFUSES, failure_of, refused_by_proxy
from pipeline.llm.transport.deadlines import Deadlines
from pipeline.llm.transport.network import Network
from pipeline.llm.transport.wire import BROKEN, Response, Target, Wire
from pipeline.system.redaction import KEY_REDACTED, Redaction, is_secret_name
from pipeline.telemetry.logs import hide

MAX_BODY_BYTES = 1 << 20
"""A larger response is not read: a completion with a few labels has a few KiB, with log-probabilities a few dozen."""

MODEL_SECONDS = 30.0
"""Timeout of the request for the model object."""

MAY_BE_THE_PROXYS = frozenset(
    {FailureKind.TRANSIENT, FailureKind.GARBLED, FailureKind.CONFIG, FailureKind.DENIED}
)
"""Kinds of failures that a proxy may cause itself, with a page of its own."""

log = logging.getLogger(__name__)

Headers = Callable[[], Mapping[str, str]]


class Client:
    """A client of one endpoint, with a connection pool; made by `Client.open`."""

    def __init__(self, wire: Wire, base_url: str, headers: Headers, network: Network) -> None:
        self._wire = wire
        self._read_headers = headers
        self._headers: dict[str, str] = {}
        self._network = network
        parts = urlsplit(base_url)
        self._base_url = parts._replace(query="").geturl().rstrip("/")
        self._query = f"?{parts.query}" if parts.query else ""
        self._keys = {value for name, value in parse_qsl(parts.query) if is_secret_name(name)}
        self._redaction = self._key_redaction = Redaction()
        self._deadlines = Deadlines()
        self.refresh()

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        base_url: str,
        headers: Headers,
        network: Network = Network(),  # noqa: B008 - frozen
    ) -> "AsyncIterator[Client]":
        """Open a client for the endpoint at *base_url*, which may have a query: it is sent with every request.

        Args:
            base_url: The URL.
            headers: Returns the headers of every request.
            network: The way to the endpoint.

        Raises:
            ConfigError: If *headers* finds no key, or *base_url* is no valid URL.
        """
        if network.proxy is not None:
            log.info("requests go through %s", network.proxy)
        wire = Wire(network.trust.context)
        try:
            yield cls(wire, base_url, headers, network)
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
        self._keys.update(value for name, value in given.items() if is_secret_name(name))
        self._key_redaction = Redaction(self._keys, mark=KEY_REDACTED)
        secrets = self._keys | self._network.secrets
        self._redaction = Redaction(secrets)
        hide(secrets)

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
            outcome = self._outcome(response.status, headers, response.content)
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
            return failure_of(error, timeout_seconds, self._network, self._redaction), None
        finally:
            self._deadlines.end(task)

    async def model(self, name: str) -> Mapping[str, Any] | Failure:
        """Return the endpoint's object for the model *name*, or a failure."""
        try:
            async with asyncio.timeout(MODEL_SECONDS):
                target = self._target("GET", f"models/{quote(name, safe='')}")
                response = await self._wire.exchange(target, b"", MAX_BODY_BYTES)
            content = response.content and self._redaction.of_bytes(response.content)
            return _model_object(response.status, response.headers, content)
        except BROKEN as error:
            return failure_of(error, MODEL_SECONDS, self._network, self._redaction)

    async def call(
        self,
        method: str,
        path: str,
        body: bytes | Upload = b"",
        *,
        seconds: float = MODEL_SECONDS,
        kind: str = "application/json",
        into: Into | None = None,
    ) -> bytes | Failure:
        """Send a request that is no question; return the body of a success, which is empty if it has gone *into*.

        Args:
            method: The HTTP method.
            path: Below the base URL; may have a query.
            body: What is sent.
            seconds: How long all of it may take.
            kind: The content type of *body*.
            into: Takes the body of a success piece by piece, however large it is.
        """
        try:
            async with asyncio.timeout(seconds):
                target = self._target(method, path, {"Content-Type": kind})
                response = await self._wire.exchange(target, body, MAX_BODY_BYTES, into)
        except BROKEN as error:
            return failure_of(error, seconds, self._network, self._redaction)
        if response.content is None:
            return _too_big()
        if response.status in SUCCESSES:
            return self._key_redaction.of_bytes(response.content)
        outcome = self._outcome(response.status, self._without_secrets(response), response.content)
        return outcome if isinstance(outcome, Failure) else _too_big()

    def read(self, status: int, content: bytes) -> Reply | Failure:
        """Return the reply or the failure in a response that came in a file, as if it had come by itself."""
        return self._outcome(status, {}, content)

    def _target(self, method: str, path: str, headers: Mapping[str, str] = {}) -> Target:
        query = self._query.replace("?", "&", 1) if "?" in path else self._query
        url = f"{self._base_url}/{path}{query}"
        try:
            return Target(method, URL(url), {**self._headers, **headers}, self._network.proxy)
        except ValueError as error:
            raise ConfigError(f"model.base_url is no valid URL: {error}") from error

    def _without_secrets(self, response: Response) -> Mapping[str, str]:
        if response.status in SUCCESSES:  # these appear in no message
            return response.headers
        found = {name.lower(): self._redaction.of(value) for name, value in response.headers.items()}
        # A server without a Date header is taken to go by this machine's clock.
        return {"date": formatdate(usegmt=True), **found}

    def _outcome(self, status: int, headers: Mapping[str, str], content: bytes) -> Reply | Failure:
        if status in SUCCESSES:
            # A good reply is the model's words, and is kept as it came but for the key.
            outcome = read(status, headers, self._key_redaction.of_bytes(content))
            if isinstance(outcome, Reply):
                return outcome
        if status == PROXY_REFUSES and self._network.proxy is not None:
            return refused_by_proxy(self._network)
        # What is shown has none of the secrets: some endpoints repeat a refused key in their message.
        outcome = read(status, headers, self._redaction.of_bytes(content))
        if isinstance(outcome, Failure) and self._network.proxy and outcome.kind in MAY_BE_THE_PROXYS:
            return replace(outcome, message=f"{outcome.message} (asked through {self._network.proxy})")
        return outcome


def _too_big() -> Failure:
    return Failure(FailureKind.GARBLED, f"the endpoint's reply is larger than {MAX_BODY_BYTES >> 20} MiB")


def _model_object(
    status: int, headers: Mapping[str, str], content: bytes | None
) -> Mapping[str, Any] | Failure:
    if content is not None and status in SUCCESSES:
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
