"""Exchanges that brought no response: what the failure is, in words that name the proxy or the certificates."""

import asyncio
import ssl
from dataclasses import replace

import aiohttp

from pipeline.llm.replies import Failure, FailureKind
from pipeline.llm.transport.network import Network
from pipeline.system.redaction import Redaction

PROXY_REFUSES = 407

NO_ISSUER = frozenset({2, 18, 19, 20, 21})
"""OpenSSL's verify codes of a certificate that nobody known has signed."""


def failure_of(error: Exception, timeout_seconds: float, network: Network, redaction: Redaction) -> Failure:
    """Return the failure that *error* of an exchange is, without secrets."""
    found = _failure_of(error, timeout_seconds, network, redaction)
    return replace(found, message=redaction.of(found.message))


def _failure_of(error: Exception, timeout_seconds: float, network: Network, redaction: Redaction) -> Failure:
    through = f" through {network.proxy}" if network.proxy else ""
    match error:
        case aiohttp.ClientHttpProxyError():
            return _turned_away(error, network, redaction)
        case aiohttp.ClientConnectorCertificateError() | ssl.SSLCertVerificationError():
            return Failure(FailureKind.UNTRUSTED, _untrusted(error, network, through))
        case aiohttp.ClientProxyConnectionError():
            return Failure(
                FailureKind.UNREACHABLE,
                f"no connection to {network.proxy}: {error.os_error.strerror or error}",
            )
        case aiohttp.ConnectionTimeoutError() | aiohttp.ClientConnectorError():
            return Failure(
                FailureKind.UNREACHABLE,
                f"no connection to the endpoint{through}: {str(error) or 'timed out'}",
            )
        case asyncio.TimeoutError():
            return Failure(
                FailureKind.TRANSIENT, f"no whole reply within {timeout_seconds:g} s", timed_out=True
            )
        case _:
            # Some of these errors quote the bytes that were received.
            message = redaction.of(str(error))[:200]
            return Failure(
                FailureKind.TRANSIENT, f"the connection{through} broke: {type(error).__name__}: {message}"
            )


def refused_by_proxy(network: Network) -> Failure:
    """Return the failure of a request that the proxy wants credentials for."""
    proxy = network.proxy
    if proxy is not None and proxy.credentials is not None:
        words = f"refuses the user name or the password in {proxy.source}; set them right there"
    else:
        words = (
            "wants a user name and a password; "
            "set model.proxy to http://USER:${PROXY_PASSWORD}@HOST:PORT, or put them into the variable's URL"
        )
    return Failure(FailureKind.CONFIG, f"{proxy} {words}", PROXY_REFUSES)


def _turned_away(error: aiohttp.ClientHttpProxyError, network: Network, redaction: Redaction) -> Failure:
    """Return the failure of a request to which the proxy opened no tunnel."""
    if error.status == PROXY_REFUSES:
        return refused_by_proxy(network)
    said = f"{error.status} {redaction.of(error.message)[:200]}".strip()
    if error.status in range(400, 500):
        fix = "have the endpoint allowed there, or set model.proxy"
        return Failure(
            FailureKind.CONFIG,
            f"{network.proxy} does not let through to the endpoint: {said}; {fix}",
            error.status,
        )
    return Failure(
        FailureKind.UNREACHABLE, f"{network.proxy} does not reach the endpoint: {said}", error.status
    )


def _untrusted(error: Exception, network: Network, through: str) -> str:
    found = getattr(error, "certificate_error", error)
    host = getattr(error, "host", "the endpoint")  # or the proxy
    words = getattr(found, "verify_message", "") or str(found)
    fix = (
        "; if an authority of your own signs it, set model.ca_file (or SSL_CERT_FILE) to that authority's certificate"
        if getattr(found, "verify_code", None) in NO_ISSUER
        else ""
    )
    return f"the certificate of {host}{through} is not valid: {words} (looked at {network.trust}){fix}"
