"""The way to an endpoint: proxies and private authorities, against real sockets and real certificates."""

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from pipeline.config import ModelSettings
from pipeline.config.proxy import parse_proxy
from pipeline.errors import ConfigError
from pipeline.llm.replies import Failure, FailureKind, Reply
from pipeline.llm.transport.client import Client
from pipeline.llm.transport.network import Network, network
from pipeline.llm.transport.trust import BUNDLES, OPENSSL
from tests.authority import Authority
from tests.faultserver.server import FaultServer
from tests.llm.transport.proxy import proxy_to
from tests.llm.transport.test_client import BODY

KEY = {"Authorization": "Bearer sk-canary-123"}
VARIABLES = [*OPENSSL, *BUNDLES, "HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"]


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def way(url: str, **settings: object) -> Network:
    model = {"provider": "openai-compatible", "base_url": url, "allow_insecure": True, **settings}
    return network(ModelSettings.model_validate(model), url)


async def asked(url: str, through: Network, seconds: float = 10) -> Reply | Failure:
    async with Client.open(url, lambda: KEY, through) as client:
        return (await client.ask(BODY, seconds))[0]


@pytest.fixture
async def endpoint() -> AsyncIterator[FaultServer]:
    async with FaultServer(label_for=lambda _: "games") as server:
        yield server


def port(server: FaultServer) -> int:
    return urlsplit(server.base_url).port or 0


@asynccontextmanager
async def encrypted(authority: Authority) -> AsyncIterator[FaultServer]:
    async with FaultServer(label_for=lambda _: "games", tls=authority.context()) as server:
        yield server


# Proxies.


async def test_an_open_request_goes_to_the_proxy_in_absolute_form_with_the_proxys_password(
    endpoint: FaultServer,
) -> None:
    url = "http://models.corp.invalid/v1"
    async with proxy_to(port(endpoint)) as proxy:
        named = proxy.url.replace("//", "//me:pass%20word@")
        outcome = await asked(f"{url}?api-version=1", way(url, proxy=named))
    assert isinstance(outcome, Reply)
    line, *headers = proxy.heads[0].strip().split("\r\n")
    assert line == f"POST {url}/chat/completions?api-version=1 HTTP/1.1"
    assert {"Host: models.corp.invalid", "Proxy-Authorization: Basic bWU6cGFzcyB3b3Jk"} <= set(headers)


async def test_an_encrypted_request_goes_through_a_tunnel_that_is_told_the_host_and_not_the_key(
    authority: Authority,
) -> None:
    url = "https://models.corp.invalid/v1"
    async with encrypted(authority) as server, proxy_to(port(server)) as proxy:
        named = proxy.url.replace("//", "//me:password@")
        through = way(url, proxy=named, ca_file=str(authority.file))
        async with Client.open(url, lambda: KEY, through) as client:
            outcomes = [(await client.ask(BODY, 10))[0] for _ in range(3)]
    assert all(isinstance(outcome, Reply) for outcome in outcomes)
    assert (server.requests, proxy.connections) == (3, 1)
    assert proxy.heads[0].startswith("CONNECT models.corp.invalid:443 HTTP/1.1\r\n")
    assert "Proxy-Authorization: Basic bWU6cGFzc3dvcmQ=" in proxy.heads[0]
    assert "canary" not in "".join(proxy.heads)


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_the_way_to_the_proxy_may_be_encrypted_itself(authority: Authority, scheme: str) -> None:
    tls = authority.context()
    url = f"{scheme}://models.corp.invalid/v1"
    async with (
        FaultServer(label_for=lambda _: "games", tls=tls if scheme == "https" else None) as server,
        proxy_to(port(server), tls=tls) as proxy,
    ):
        through = way(url, proxy=proxy.url, ca_file=str(authority.file))
        outcomes = [await asked(url, through)]
        outcomes.append(await asked(url, way(url, proxy=proxy.url)))
    assert isinstance(outcomes[0], Reply)
    assert isinstance(outcomes[1], Failure)
    assert outcomes[1].kind is FailureKind.UNTRUSTED
    assert "certificate of 127.0.0.1" in outcomes[1].message


async def test_the_environment_names_the_proxy_but_not_for_loopback_or_what_no_proxy_names(
    endpoint: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with proxy_to(port(endpoint)) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        assert isinstance(await asked("http://a.invalid/v1", way("http://a.invalid/v1")), Reply)
        assert isinstance(await asked(endpoint.base_url, way(endpoint.base_url)), Reply)
        assert len(proxy.heads) == 1
        monkeypatch.setenv("NO_PROXY", "invalid")
        assert way("http://a.invalid/v1").proxy is None
        assert way("http://a.invalid/v1", proxy=proxy.url).proxy is not None


@pytest.mark.parametrize("settings", [{"proxy": "none"}, {"provider": "simulate", "proxy": "http://p:1"}])
async def test_no_proxy_where_the_config_says_none_or_the_server_is_our_own(
    endpoint: FaultServer, monkeypatch: pytest.MonkeyPatch, settings: dict[str, str]
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    assert way(endpoint.base_url, **settings).proxy is None


TOLD = "http://me:canary-password@127.0.0.1"


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        ("407 Proxy Authentication Required", FailureKind.CONFIG, "refuses the user name or the password"),
        ("403 Forbidden", FailureKind.CONFIG, "does not let through to the endpoint: 403 Forbidden"),
        ("503 Service Unavailable", FailureKind.UNREACHABLE, "does not reach the endpoint: 503"),
    ],
)
async def test_a_proxy_that_opens_no_tunnel_is_named_without_its_password(
    status: str, kind: FailureKind, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with proxy_to(1, f"HTTP/1.1 {status}\r\nContent-Length: 4\r\n\r\nnope".encode()) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("//", "//me:canary-password@"))
        outcome = await asked("https://llm.invalid/v1", way("https://llm.invalid/v1"))
    assert isinstance(outcome, Failure)
    assert outcome.kind is kind
    assert f"the proxy {proxy.url} (HTTPS_PROXY) {words}" in outcome.message
    assert "canary" not in outcome.message


async def test_a_407_to_an_open_request_is_about_the_proxy_and_not_the_row() -> None:
    async with proxy_to(1, b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n") as proxy:
        outcome = await asked("http://llm.invalid/v1", way("http://llm.invalid/v1", proxy=proxy.url))
    assert isinstance(outcome, Failure)
    assert (outcome.kind, outcome.status) == (FailureKind.CONFIG, 407)
    assert f"{proxy.url} (model.proxy) wants a user name and a password" in outcome.message


async def test_a_page_of_the_proxys_own_is_told_with_the_proxy() -> None:
    async with proxy_to(1, b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n") as proxy:
        outcome = await asked("http://llm.invalid/v1", way("http://llm.invalid/v1", proxy=proxy.url))
    assert isinstance(outcome, Failure)
    assert outcome.kind is FailureKind.TRANSIENT
    assert f"(asked through the proxy {proxy.url} (model.proxy))" in outcome.message


@pytest.mark.parametrize("url", ["http://llm.invalid/v1", "https://llm.invalid/v1"])
async def test_a_proxy_that_is_not_there_is_unreachable_and_named(url: str) -> None:
    async with proxy_to(1) as proxy:
        gone = proxy.url
    outcome = await asked(url, way(url, proxy=gone))
    assert isinstance(outcome, Failure)
    assert outcome.kind is FailureKind.UNREACHABLE
    assert f"no connection to the proxy {gone} (model.proxy)" in outcome.message


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_proxy_that_says_nothing_costs_the_calls_own_timeout(scheme: str) -> None:
    connections: list[asyncio.StreamWriter] = []

    async def deaf(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)

    async with await asyncio.start_server(deaf, "127.0.0.1", 0) as server:
        proxy = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        url = f"{scheme}://llm.invalid/v1"
        outcome = await asked(url, way(url, proxy=proxy), seconds=0.2)
        for writer in connections:
            writer.transport.abort()
    assert isinstance(outcome, Failure)
    assert outcome.timed_out


def test_the_proxys_credentials_and_what_variables_stand_for_are_secrets() -> None:
    proxy = parse_proxy("http://me:canary-password@p:1", "")
    assert way("https://h/v1", proxy="http://me:canary-password@p:1").secrets == proxy.secrets
    assert "canary" not in repr(way("https://h/v1", proxy="http://me:canary-password@p:1"))


# Authorities.


@pytest.mark.parametrize("name", ["model.ca_file", "SSL_CERT_FILE", "SSL_CERT_DIR", *BUNDLES])
async def test_a_private_authority_is_trusted_where_it_is_named_and_nowhere_else(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    file = authority.folder if name == "SSL_CERT_DIR" else authority.file
    settings = {"ca_file": str(file)} if name == "model.ca_file" else {}
    async with encrypted(authority) as server:
        refused = await asked(server.base_url, way(server.base_url))
        assert server.requests == 0
        if not settings:
            monkeypatch.setenv(name, str(file))
        through = way(server.base_url, **settings)
        taken = await asked(server.base_url, through)
    assert isinstance(refused, Failure)
    assert refused.kind is FailureKind.UNTRUSTED
    assert "set model.ca_file (or SSL_CERT_FILE)" in refused.message
    assert isinstance(taken, Reply)
    assert f"{file} ({name})" in str(through.trust)


async def test_a_certificate_that_nobody_signed_is_told_with_the_places_that_were_looked_at(
    authority: Authority, untrusted: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    monkeypatch.setenv("SSL_CERT_DIR", "/nowhere")
    async with FaultServer(tls=untrusted) as server:
        through = way(server.base_url, ca_file=str(authority.file))
        outcome = await asked(server.base_url, through)
    assert isinstance(outcome, Failure)
    assert (
        f"(looked at {authority.file} (SSL_CERT_FILE), /nowhere (SSL_CERT_DIR, not there), {authority.file} (model.ca_file))"
        in outcome.message
    )


async def test_a_certificate_for_another_host_is_no_matter_of_authorities(authority: Authority) -> None:
    async with encrypted(authority) as server:
        url = server.base_url.replace("127.0.0.1", "localhost")
        outcome = await asked(url, way(url, ca_file=str(authority.file)))
    assert isinstance(outcome, Failure)
    assert outcome.kind is FailureKind.UNTRUSTED
    assert "not valid for 'localhost'" in outcome.message
    assert "model.ca_file (or" not in outcome.message


@pytest.mark.parametrize("name", ["model.ca_file", "SSL_CERT_FILE", *BUNDLES])
@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
def test_a_file_without_certificates_is_named_with_its_setting(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, content: bytes | None
) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_bytes(content)
    settings = {"ca_file": str(file)} if name == "model.ca_file" else {}
    if not settings:
        monkeypatch.setenv(name, str(file))
    with pytest.raises(ConfigError) as caught:
        way("https://h/v1", **settings)
    (problem,) = caught.value.problems
    assert problem.startswith(name if settings else f"the environment variable {name}")
    assert str(file) in problem


def test_all_that_is_wrong_with_the_way_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "socks5://p:1")
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/a.pem")
    with pytest.raises(ConfigError) as caught:
        way("https://h/v1", ca_file="/nowhere/b.pem")
    assert [problem.split(":")[0] for problem in caught.value.problems] == [
        "the environment variable HTTPS_PROXY is a SOCKS proxy, and only HTTP proxies are spoken; write one such as http",
        "the environment variable SSL_CERT_FILE",
        "model.ca_file",
    ]


@pytest.fixture
def own_authorities(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/a.pem")
    yield
    assert os.environ["SSL_CERT_FILE"]


@pytest.mark.usefixtures("own_authorities")
def test_certificates_are_not_looked_at_where_nothing_is_encrypted() -> None:
    assert way("http://127.0.0.1:1/v1").trust.context is None
