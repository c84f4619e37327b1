"""What is said of an exchange that brought no response has no secret in it, whoever wrote the words."""

import base64
import ssl
from unittest.mock import Mock

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey

from pipeline.llm.transport.broken import failure_of
from pipeline.llm.transport.network import Network
from pipeline.system.redaction import REDACTED, Redaction

SECRET = "canary-4711-abcdefgh"
SPELLED = base64.b64encode(f"user:{SECRET}".encode()).decode()


def key(host: str) -> ConnectionKey:
    return ConnectionKey(host, 443, True, True, None, None, None)  # noqa: FBT003 - aiohttp's own order


def told(words: str) -> list[Exception]:
    """Each kind of error that says *words*."""
    system = OSError(1, words)
    untrusted = ssl.SSLCertVerificationError(1, words)
    untrusted.verify_message = words
    request = Mock(real_url="http://127.0.0.1/")
    return [
        aiohttp.ClientConnectorError(key(words), system),
        aiohttp.ClientConnectorDNSError(key(words), system),
        aiohttp.ClientProxyConnectionError(key(words), system),
        aiohttp.ClientConnectorCertificateError(key(words), untrusted),
        aiohttp.ClientHttpProxyError(request, (), status=502, message=words),
        aiohttp.ClientHttpProxyError(request, (), status=403, message=words),
        aiohttp.ConnectionTimeoutError(words),
        aiohttp.ClientPayloadError(words),
        aiohttp.ServerDisconnectedError(words),
        untrusted,
        system,
    ]


@pytest.mark.parametrize("words", [SECRET, SPELLED], ids=["as it is", "in base64"])
@pytest.mark.parametrize("place", range(len(told(""))))
def test_no_error_of_a_connection_tells_a_secret(place: int, words: str) -> None:
    error = told(f"no way to {words} ...")[place]
    message = failure_of(error, 1.0, Network(), Redaction([SECRET])).message
    assert REDACTED in message
    assert "canary" not in message
    assert words[-14:].rstrip("=") not in message


def test_a_timeout_says_how_long() -> None:
    assert "1.5 s" in failure_of(TimeoutError(), 1.5, Network(), Redaction([SECRET])).message
