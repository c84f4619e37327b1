"""What a hostile endpoint, a hostile environment and hostile rows may try, beyond wrong replies."""

import json
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from logging import INFO, getLogger
from pathlib import Path

import pytest

from pipeline.cli import app
from pipeline.llm.replies import Failure, FailureKind
from pipeline.llm.transport import wire
from pipeline.llm.transport.client import Client
from pipeline.telemetry.logs import configure
from tests.faultserver.faults import Call
from tests.faultserver.http1 import Response
from tests.faultserver.server import FaultServer
from tests.jobs import JobFiles, asked, right_label, run_job, texts
from tests.world.endpoint import Endpoint, answer, completion
from tests.world.server import WorldServer

# The way to the endpoint.

PROXIES = ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")


def test_proxies_of_the_environment_see_nothing(job: JobFiles, server: FaultServer) -> None:
    job.table(texts(5))
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        url = f"http://127.0.0.1:{proxy.getsockname()[1]}"
        done = job.run("--quiet", env=dict.fromkeys(PROXIES, url))
        assert done.returncode == 0, done.stderr
        proxy.setblocking(False)  # noqa: FBT003 - the socket's own signature
        with pytest.raises(BlockingIOError):
            proxy.accept()
    assert len(asked(server)) == 5


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that nobody trusts unless told to, with its key."""
    folder = tmp_path_factory.mktemp("tls")
    make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=127.0.0.1"
    name = ["-addext", "subjectAltName=IP:127.0.0.1"]
    paths = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "certificate.pem")]
    subprocess.run([*make.split(), *name, *paths], check=True, capture_output=True)
    return folder / "certificate.pem"


@pytest.fixture
def tls_job(tmp_path: Path, certificate: Path) -> Iterator[tuple[JobFiles, FaultServer]]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, certificate.with_name("key.pem"))
    with FaultServer(label_for=right_label, tls=context) as server:
        job = JobFiles(tmp_path, server.base_url)
        job.table(texts(5))
        yield job, server


@pytest.mark.slow
@pytest.mark.parametrize(
    "variables",
    [
        {
            "PYTHONHTTPSVERIFY": "0",
            "REQUESTS_CA_BUNDLE": "",
            "CURL_CA_BUNDLE": "",
            "NODE_TLS_REJECT_UNAUTHORIZED": "0",
            "GIT_SSL_NO_VERIFY": "1",
            "AIOHTTP_NO_EXTENSIONS": "1",
        },
        {"SSL_CERT_FILE": "/nowhere", "SSL_CERT_DIR": "/nowhere"},
    ],
    ids=["switches", "authorities"],
)
def test_no_variable_switches_the_verification_of_certificates_off(
    tls_job: tuple[JobFiles, FaultServer], variables: dict[str, str]
) -> None:
    job, server = tls_job
    done = job.spawn("--quiet", env=variables)
    assert done.returncode == 78, done.stderr
    assert "certificate" in done.stderr
    assert server.requests == 0


def test_a_variable_may_name_one_more_authority(
    tls_job: tuple[JobFiles, FaultServer], certificate: Path
) -> None:
    job, server = tls_job
    done = job.spawn("--quiet", env={"SSL_CERT_FILE": str(certificate)})
    assert done.returncode == 0, done.stderr
    assert len(asked(server)) == 5


async def test_a_host_that_does_not_even_answer_the_first_packet_is_given_up_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(wire, "CONNECT_SECONDS", 0.3)
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        waiting = [socket.socket() for _ in range(3)]
        for one in waiting:  # a full queue: the kernel drops whatever else comes
            one.setblocking(False)  # noqa: FBT003 - the socket's own signature
            one.connect_ex(deaf.getsockname())
        async with Client.open(f"http://127.0.0.1:{deaf.getsockname()[1]}/v1", dict) as client:
            outcome, _ = await client.ask(b"{}", 5)
        for one in waiting:
            one.close()
    assert isinstance(outcome, Failure)
    assert outcome.kind is FailureKind.UNREACHABLE


@pytest.mark.slow
async def test_a_reply_of_a_million_levels_costs_one_row_and_no_more(
    job: JobFiles, server: FaultServer
) -> None:
    rows = texts(30)
    job.table(rows)

    def deep(call: Call) -> Response:
        right = json.loads(call.right().body)
        right["choices"][0]["message"]["content"] = '{"label":' + "[" * 300_000 + "]" * 300_000 + "}"
        return Response(200, json.dumps(right).encode())

    server.when(lambda text: text == rows[7], deep)
    server.when(lambda text: text == rows[9], "deep_json")
    result = await run_job(job.config())
    statuses = job.labelled()["label_status"].to_list()
    assert (statuses[7], statuses[9], result.ok) == ("invalid", "error", 28)


# What is shown.

ESCAPES = "\x1b[31mred\x1b[0m\x07\r\nerror: forged\x9b2J\u2028"


def has_controls(text: str) -> bool:
    return any((ord(c) < 32 and c != "\n") or 127 <= ord(c) < 160 or c in "\u2028\u2029" for c in text)


def refusing(status: int) -> Callable[[Call], Response]:
    body = json.dumps({"error": {"message": ESCAPES, "code": ESCAPES}}).encode()
    return lambda _: Response(status, body)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("status", "form"),
    [(400, "text"), (400, "json"), (401, "text"), (402, "json"), (404, "text"), (500, "text")],
)
def test_what_an_endpoint_says_cannot_paint_the_terminal_or_forge_lines(
    job: JobFiles, server: FaultServer, capfd: pytest.CaptureFixture[str], status: int, form: str
) -> None:
    job.table(texts(30))
    job.set(limits={"max_outage": "1s", "drain": "0.1s"})
    server.when(lambda _: True, refusing(status))
    assert app.main(["run", str(job.config_file()), "--log-format", form]) in {1, 69, 77, 78}
    said = capfd.readouterr()
    assert not has_controls(said.err)
    assert not any(line.startswith("error: forged") for line in said.err.splitlines())


@pytest.mark.parametrize("name", ["probe", "explain", "status", "ledger stats", "plan"])
def test_no_command_shows_control_characters(
    job: JobFiles, server: FaultServer, capfd: pytest.CaptureFixture[str], name: str
) -> None:
    def named(call: Call) -> Response:
        right = json.loads(call.right().body)
        right["model"] = right["id"] = ESCAPES
        right["choices"][0]["message"]["content"] = ESCAPES
        return Response(200, json.dumps(right).encode())

    job.table([f"{text} {ESCAPES}" for text in texts(10)])
    server.when(lambda _: True, named)
    config = str(job.config_file())
    assert app.main(["run", config, "--quiet"]) == 1
    capfd.readouterr()
    app.main([*name.split(), config, *(["3"] if name == "explain" else [])])
    said = capfd.readouterr()
    assert said.err
    assert not has_controls(said.err)
    assert not any(line.startswith("error: forged") for line in said.err.splitlines())


def test_a_probe_shows_what_the_endpoint_says_without_control_characters_on_one_line(
    job: JobFiles, server: FaultServer, capfd: pytest.CaptureFixture[str]
) -> None:
    job.table(texts(3))
    server.when(lambda _: True, refusing(400))
    app.main(["probe", str(job.config_file())])
    said = capfd.readouterr().err
    assert "red" in said
    assert not has_controls(said)
    assert not any(line.startswith("error: forged") for line in said.splitlines())


def test_a_probe_shows_the_name_that_an_endpoint_gives_its_model_on_one_line(
    job: JobFiles, capfd: pytest.CaptureFixture[str]
) -> None:
    about = answer(200, {"id": f"m\nerror: forged {ESCAPES}"})
    named = Endpoint(name="named", model={}, script=completion, about=lambda _: about)
    with WorldServer(named, right_label) as server:
        job.set(model={"base_url": server.base_url})
        assert app.main(["probe", str(job.config_file())]) == 0
    said = capfd.readouterr().err
    assert "forged" in said
    assert not has_controls(said)
    assert not any(line.startswith("error: forged") for line in said.splitlines())


@pytest.mark.parametrize("json_lines", [False, True])
def test_a_log_line_is_one_line(capsys: pytest.CaptureFixture[str], *, json_lines: bool) -> None:
    configure(json_lines=json_lines, level=INFO)
    getLogger("pipeline.any").warning("something: %s", ESCAPES)
    getLogger("asyncio").error("something: %s", ESCAPES)
    said = capsys.readouterr().err
    assert said.count("\n") == 2
    assert not has_controls(said)
    assert "\\x1b[31mred" in said


def test_rows_are_not_logged(job: JobFiles, server: FaultServer, capfd: pytest.CaptureFixture[str]) -> None:
    canary = "row-canary"
    rows = [f"{text} {canary}" for text in texts(60)]
    job.table(rows)
    faults = ["bad_request", "context_length", "prose", "length", "content_filter", "refusal"]
    for row, fault in zip(rows[10:], faults, strict=False):
        server.when(row.__eq__, fault)
    config = str(job.config_file())
    ran = job.run("--log-format", "json", env={"PYTHONASYNCIODEBUG": "1"})
    assert ran.returncode == 1
    assert canary not in ran.stdout + ran.stderr
    for name in ("plan", "check", "status", "ledger stats"):
        assert app.main([*name.split(), config]) == 0
    said = capfd.readouterr()
    assert canary not in said.out + said.err
