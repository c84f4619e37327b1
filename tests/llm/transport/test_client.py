"""The client against a real server that does everything wrong that TCP and HTTP allow."""

import asyncio
import ssl
import sys
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from yarl import URL

from pipeline.llm.protocol.body import BodyTemplate
from pipeline.llm.protocol.form import first_form
from pipeline.llm.replies import Failure, FailureKind, Reply
from pipeline.llm.transport.client import MAX_BODY_BYTES, Client
from tests.faultserver.faults import Call
from tests.faultserver.http1 import Response
from tests.faultserver.server import FaultServer
from tests.faultserver.settings import FaultServerSettings
from tests.llm.protocol.test_body import MODEL, TASK

CANARY = "sk-canary-123"
BODY = BodyTemplate(TASK, MODEL, first_form(MODEL)).body("a text")


@asynccontextmanager
async def connected(server: FaultServer) -> AsyncIterator[Client]:
    async with Client.open(server.base_url, lambda: {"Authorization": f"Bearer {CANARY}"}) as client:
        yield client


async def asked(fault: object, seconds: float = 10, times: int = 1) -> tuple[Reply | Failure, FaultServer]:
    """Ask a server with *fault* in the last of *times* requests; returns that one's outcome."""
    async with FaultServer(label_for=lambda _: "games") as server, connected(server) as client:
        server.script([None] * (times - 1) + [fault])
        for _ in range(times):
            outcome, _ = await client.ask(BODY, seconds)
        return outcome, server


async def failure(fault: object, seconds: float = 10) -> Failure:
    outcome, _ = await asked(fault, seconds)
    assert isinstance(outcome, Failure), outcome
    assert CANARY not in repr(outcome)
    return outcome


async def test_a_right_reply_is_read_with_its_rate_limits() -> None:
    settings = FaultServerSettings()
    async with FaultServer(settings, label_for=lambda _: "games") as server, connected(server) as client:
        headers = (("x-ratelimit-remaining-requests", "0"), ("x-ratelimit-reset-requests", "20ms"))
        server.script([lambda call: Response(200, call.right().body, headers)])
        outcome, window = await client.ask(BODY, 10)
    assert isinstance(outcome, Reply)
    assert outcome.text == '{"label":"games"}'
    assert outcome.usage.prompt_tokens
    assert window is not None
    assert window.wait_seconds(None, None) == pytest.approx(0.02)


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("reset_mid_body", FailureKind.TRANSIENT),
        ("fin_mid_body", FailureKind.TRANSIENT),
        ("drop", FailureKind.TRANSIENT),
        ("big_header", FailureKind.TRANSIENT),
        ("no_content_length", FailureKind.GARBLED),
        ("cut_json", FailureKind.GARBLED),
        ("non_utf8", FailureKind.GARBLED),
        ("deep_json", FailureKind.GARBLED),
        ("duplicate_keys", FailureKind.GARBLED),
        ("html_200", FailureKind.GARBLED),
        ("http_204", FailureKind.GARBLED),
        ("html_502", FailureKind.TRANSIENT),
        ("unauthorized", FailureKind.DENIED),
        ("context_length", FailureKind.ROW),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n", FailureKind.TRANSIENT),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", FailureKind.TRANSIENT),
        (b"HTTP/1.1 999999 OK\r\n\r\n", FailureKind.TRANSIENT),
        (b"\x16\x03\x01 this is no HTTP", FailureKind.TRANSIENT),
    ],
)
async def test_a_broken_reply_is_a_failure_of_its_class(fault: object, kind: FailureKind) -> None:
    assert (await failure(fault)).kind is kind


async def test_a_stale_connection_costs_at_most_one_transient_failure() -> None:
    async with FaultServer(label_for=lambda _: "games") as server, connected(server) as client:
        server.script(["stale_keepalive", None, None])
        outcomes = [(await client.ask(BODY, 10))[0] for _ in range(3)]
    assert all(isinstance(one, Reply) or one.kind is FailureKind.TRANSIENT for one in outcomes)
    assert isinstance(outcomes[0], Reply)
    assert isinstance(outcomes[-1], Reply)


@pytest.mark.parametrize("fault", ["hang", "headers_only", "drip"])
async def test_a_call_that_takes_too_long_is_given_up_at_its_own_timeout(fault: str) -> None:
    async with FaultServer() as server, connected(server) as client:
        server.script([fault, fault])
        longer, shorter = (asyncio.create_task(client.ask(BODY, seconds)) for seconds in (20, 0.3))
        done, _ = await asyncio.wait((longer, shorter), return_when=asyncio.FIRST_COMPLETED)
        assert done == {shorter}
        longer.cancel()
        found, _ = shorter.result()
    assert isinstance(found, Failure)
    assert (found.kind, found.timed_out, found.may_mean_load) == (FailureKind.TRANSIENT, True, True)
    assert "0.3 s" in found.message


async def test_a_refused_connection_is_unreachable() -> None:
    async with FaultServer() as server, connected(server) as client:
        server.start_outage("refuse")
        outcome, _ = await client.ask(BODY, 10)
    assert isinstance(outcome, Failure)
    assert outcome.kind is FailureKind.UNREACHABLE


async def test_a_host_that_does_not_exist_is_unreachable() -> None:
    async with Client.open("http://no-such-host.invalid/v1", dict) as client:
        outcome, _ = await client.ask(BODY, 10)
    assert isinstance(outcome, Failure)
    assert outcome.kind is FailureKind.UNREACHABLE


def peak_memory_kib(*, reset: bool = False) -> int:
    """The peak memory of this process since it was last reset, as Linux counts it."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])


async def provoke_without_client(fault: str) -> None:
    """Ask a server for *fault* over a bare connection, and read no more than its first byte."""
    async with FaultServer() as server:
        server.script([fault])
        url = URL(server.base_url)
        reader, writer = await asyncio.open_connection(url.host, url.port)
        head = f"POST {url.path}/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: {len(BODY)}\r\n\r\n"
        writer.write(head.encode() + BODY)
        assert await reader.read(1)
        writer.transport.abort()


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
@pytest.mark.parametrize("name", ["gzip_bomb", "endless_body"])
async def test_a_bomb_and_a_flood_cost_at_most_16_mib(name: str) -> None:
    # The server makes it once, and its memory is this process's too.
    await provoke_without_client("gzip_bomb")
    async with FaultServer() as server, connected(server) as client:
        await client.ask(BODY, 10)
        before = peak_memory_kib(reset=True)
        for _ in range(3):
            server.script([name])
            outcome, _ = await client.ask(BODY, 30)
            assert isinstance(outcome, Failure)
            assert (outcome.kind, "larger than 1 MiB" in outcome.message) == (FailureKind.GARBLED, True)
        assert peak_memory_kib() - before <= 16 * 1024


async def test_a_body_of_the_greatest_size_is_read() -> None:
    def padded(call: Call) -> Response:
        body = call.right().body
        return Response(200, body + b" " * (MAX_BODY_BYTES - len(body)))

    def too_long(call: Call) -> Response:
        return Response(200, padded(call).body + b" ")

    assert isinstance((await asked(padded))[0], Reply)
    assert isinstance((await asked(too_long))[0], Failure)


@pytest.mark.parametrize(("encoding", "window_bits"), [("gzip", 31), ("deflate", 15)])
async def test_a_compressed_reply_is_read(encoding: str, window_bits: int) -> None:
    def packed(call: Call) -> Response:
        packer = zlib.compressobj(wbits=window_bits)
        body = packer.compress(call.right().body) + packer.flush()
        return Response(200, body, (("Content-Encoding", encoding),))

    assert isinstance((await asked(packed))[0], Reply)


async def test_what_claims_to_be_compressed_and_is_not_is_a_failure() -> None:
    found = await failure(lambda call: Response(200, call.right().body, (("Content-Encoding", "gzip"),)))
    assert found.kind is FailureKind.TRANSIENT


async def test_only_encodings_that_it_can_read_are_asked_for() -> None:
    seen: list[dict[str, str]] = []

    def note(call: Call) -> Response:
        seen.append(dict(call.request.headers))
        return call.right()

    await asked(note)
    assert seen[0]["accept-encoding"] == "gzip, deflate"
    assert seen[0]["authorization"] == f"Bearer {CANARY}"
    assert seen[0]["content-type"] == "application/json"


@pytest.mark.parametrize("fault", ["redirect_307", "redirect_308"])
async def test_a_redirect_is_not_followed_and_nothing_is_leaked(fault: str) -> None:
    outcome, server = await asked(fault)
    assert isinstance(outcome, Failure)
    assert (outcome.kind, server.strays, server.requests) == (FailureKind.CONFIG, [], 1)
    assert "redirects to http://localhost" in outcome.message


async def test_a_bad_certificate_is_not_trusted_and_sees_no_request(untrusted: ssl.SSLContext) -> None:
    async with FaultServer(tls=untrusted) as server, connected(server) as client:
        outcome, _ = await client.ask(BODY, 10)
        assert server.requests == 0
    assert isinstance(outcome, Failure)
    assert outcome.kind is FailureKind.UNTRUSTED


async def test_tls_where_there_is_none_is_a_failure() -> None:
    async with FaultServer() as server:
        url = server.base_url.replace("http:", "https:")
        async with Client.open(url, dict) as client:
            outcome, _ = await client.ask(BODY, 0.5)
    assert isinstance(outcome, Failure)
    assert outcome.kind in {FailureKind.UNREACHABLE, FailureKind.TRANSIENT}


async def test_a_rotated_key_is_sent_after_a_refresh() -> None:
    keys = ["old", "right"]
    async with (
        FaultServer(FaultServerSettings(api_key="right")) as server,
        Client.open(server.base_url, lambda: {"Authorization": f"Bearer {keys.pop(0)}"}) as client,
    ):
        refused, _ = await client.ask(BODY, 10)
        client.refresh()
        taken, _ = await client.ask(BODY, 10)
    assert isinstance(refused, Failure)
    assert isinstance(taken, Reply)


async def test_cookies_are_not_kept() -> None:
    seen: list[str | None] = []

    def bake(call: Call) -> Response:
        seen.append(call.request.headers.get("cookie"))
        return Response(200, call.right().body, (("Set-Cookie", "session=1"),))

    async with FaultServer() as server, connected(server) as client:
        server.script([bake, bake])
        await client.ask(BODY, 10)
        await client.ask(BODY, 10)
    assert seen == [None, None]


async def test_the_model_object_holds_the_price_and_its_lack_is_a_failure() -> None:
    settings = FaultServerSettings(prices=(1e-7, 4e-7), models=("a/b c",))
    async with FaultServer(settings) as server, connected(server) as client:
        found = await client.model("a/b c")
        missing = await client.model("other")
    assert not isinstance(found, Failure)
    assert float(found["pricing"]["input_cost_per_token"]) == 1e-7
    assert isinstance(missing, Failure)


async def test_a_server_without_model_objects_is_a_failure_and_no_crash() -> None:
    async with FaultServer(FaultServerSettings(model_objects=False)) as server, connected(server) as client:
        assert isinstance(await client.model("m"), Failure)
