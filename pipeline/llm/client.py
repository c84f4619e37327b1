"""The only place that talks to the network: one call in, one reply or failure out."""

import asyncio
import ssl
import zlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from email.utils import formatdate
from typing import Any, cast
from urllib.parse import quote

import aiohttp
import orjson
from multidict import CIMultiDict
from yarl import URL

from pipeline.errors import ConfigError
from pipeline.llm.deadlines import Deadlines
from pipeline.llm.providers.headers import window
from pipeline.llm.providers.read import OK, read
from pipeline.llm.replies import Failure, Kind, Reply, Window
from pipeline.logs import hide
from pipeline.redaction import Redaction

MAX_BODY_BYTES = 1 << 20
"""A chat completion of a few labels is a few kilobytes, with log-probabilities a few dozen."""

MAX_FIELD_BYTES = 16 << 10
CONNECT_SECONDS = 10.0
MODEL_SECONDS = 30.0
MODEL_TIMEOUT = aiohttp.ClientTimeout(total=MODEL_SECONDS, sock_connect=CONNECT_SECONDS)
KEEP_ALIVE_SECONDS = 15.0
"""Idle connections are given up before a usual load balancer gives them up (60 s) or a plain server does."""

UNZIP = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
"""zlib's window bits for each content encoding."""

Headers = Callable[[], Mapping[str, str]]


class Client:
    """An open connection pool to one endpoint.

    Make one with `Client.open`. The key is put into the header at send time and nowhere else.
    """

    def __init__(self, session: aiohttp.ClientSession, base_url: str, headers: Headers) -> None:
        self._session = session
        self._make_headers = headers
        self._headers: CIMultiDict[str] = CIMultiDict()
        self._secrets: set[str] = set()
        self._redaction = Redaction()
        self.refresh()
        self._base_url = base_url
        self._completions = URL(f"{base_url}/chat/completions")
        self._deadlines = Deadlines()  # for whole calls
        self._connecting = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS)

    @classmethod
    @asynccontextmanager
    async def open(cls, base_url: str, headers: Headers) -> "AsyncIterator[Client]":
        """Open a client for the endpoint at *base_url*; what *headers* returns goes with each request."""
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE_SECONDS, ttl_dns_cache=60)
        async with aiohttp.ClientSession(
            connector=connector,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            max_field_size=MAX_FIELD_BYTES,
            max_line_size=MAX_FIELD_BYTES,
        ) as session:
            yield cls(session, base_url, headers)

    def refresh(self) -> None:
        """Read the headers anew: a key that was refused may have been rotated.

        Raises:
            ConfigError: If there is no key yet; one that is there stays where the new one cannot be read.
        """
        own = {"Content-Type": "application/json", "Accept-Encoding": ", ".join(UNZIP)}
        try:
            given = self._make_headers()
        except ConfigError:
            if not self._headers:
                raise
            return
        wanted = CIMultiDict({**given, **own})
        if wanted == self._headers:
            return
        self._headers = wanted
        self._secrets.update(given.values())  # a reply on its way may still repeat the old key
        self._redaction = Redaction(self._secrets)
        hide(given.values())

    async def ask(self, body: bytes, timeout_seconds: float) -> tuple[Reply | Failure, Window | None]:
        """Send one chat completion request; whatever goes wrong on the way comes back as a failure."""
        sent = self._headers
        task = cast("asyncio.Task[object]", asyncio.current_task())
        self._deadlines.begin(task, timeout_seconds)
        try:
            response = await self._session.post(
                self._completions,
                data=body,
                headers=sent,
                allow_redirects=False,
                timeout=self._connecting,
            )
            content = _at_hand(response)
            if content is None:
                content = await _capped(response)
            if content is None:
                return _too_big(), None
            headers = self._without_secrets(response)
            outcome = read(response.status, headers, self._redacted(content))
            if isinstance(outcome, Failure) and outcome.kind is Kind.DENIED and sent is not self._headers:
                outcome = replace(outcome, kind=Kind.REPLACED)
            return outcome, window(headers)
        except asyncio.CancelledError:
            if not self._deadlines.end(task) or task.uncancel() > 0:
                raise  # somebody else wants it to end
            return Failure(
                Kind.TRANSIENT, f"no whole reply within {timeout_seconds:g} s", timed_out=True
            ), None
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            return _failure(error, timeout_seconds, self._redaction), None
        finally:
            self._deadlines.end(task)

    async def model(self, name: str) -> Mapping[str, Any] | Failure:
        """Return the endpoint's object about the model *name*, or why there is none."""
        url = f"{self._base_url}/models/{quote(name, safe='')}"
        try:
            response = await self._session.get(
                url, headers=self._headers, allow_redirects=False, timeout=MODEL_TIMEOUT
            )
            content = await _capped(response)
            return _model_object(response.status, response.headers, content and self._redacted(content))
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            return _failure(error, MODEL_SECONDS, self._redaction)

    def _without_secrets(self, response: aiohttp.ClientResponse) -> Mapping[str, str]:
        if response.status == OK:  # nobody is told of these
            return response.headers
        found = {name.lower(): self._redaction.of(value) for name, value in response.headers.items()}
        return {"date": formatdate(usegmt=True), **found}  # whoever tells no time is taken to go by ours

    def _redacted(self, content: bytes) -> bytes:
        """Take out what we sent as a header: some endpoints repeat a refused key in their message."""
        return self._redaction.of_bytes(content)


def _at_hand(response: aiohttp.ClientResponse) -> bytes | None:
    """Return the body if all of it came along with the headers; its connection has been given back then."""
    content = response.content
    if (
        content.is_eof()
        and content.total_bytes <= MAX_BODY_BYTES
        and "Content-Encoding" not in response.headers
    ):
        return content.read_nowait()
    return None


async def _capped(response: aiohttp.ClientResponse) -> bytes | None:
    """Read the whole body, inflated; None if it is larger than MAX_BODY_BYTES.

    The connection is given back if the response was read to its end, and closed otherwise.
    """
    try:
        return await _read_capped(response)
    finally:
        if response.content.at_eof():
            response.release()
        else:
            response.close()


async def _read_capped(response: aiohttp.ClientResponse) -> bytes | None:
    encoding = response.headers.get("Content-Encoding", "").lower()
    inflate = zlib.decompressobj(UNZIP[encoding]) if encoding in UNZIP else None
    parts: list[bytes] = []
    size = 0
    async for part in response.content.iter_any():
        try:
            data = part if inflate is None else inflate.decompress(part, MAX_BODY_BYTES + 1)
        except zlib.error as error:
            raise ValueError("the body is not what its Content-Encoding says") from error
        size += len(data)
        if size > MAX_BODY_BYTES:
            return None
        parts.append(data)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _too_big() -> Failure:
    return Failure(Kind.GARBLED, f"the endpoint's reply is larger than {MAX_BODY_BYTES >> 20} MiB")


def _failure(error: Exception, timeout_seconds: float, redaction: Redaction) -> Failure:
    match error:
        case aiohttp.ClientConnectorCertificateError() | ssl.SSLCertVerificationError():
            return Failure(Kind.UNTRUSTED, f"the endpoint's certificate is not valid: {error}")
        case aiohttp.ConnectionTimeoutError() | aiohttp.ClientConnectorError():
            return Failure(Kind.UNREACHABLE, f"no connection to the endpoint: {str(error) or 'timed out'}")
        case asyncio.TimeoutError():
            return Failure(Kind.TRANSIENT, f"no whole reply within {timeout_seconds:g} s", timed_out=True)
        case aiohttp.InvalidURL():
            raise ConfigError(f"model.base_url is no valid URL: {error}") from error
        case _:
            # Some of these errors quote the bytes that came.
            message = redaction.of(str(error))[:200]
            return Failure(Kind.TRANSIENT, f"the connection broke: {type(error).__name__}: {message}")


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
    return outcome if isinstance(outcome, Failure) else Failure(Kind.GARBLED, "not a model object", status)
