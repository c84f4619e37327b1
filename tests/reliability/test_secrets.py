"""A canary key is in no byte that a run leaves behind, however the endpoint, a library or a bug may repeat it."""

import json
import os
import re
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest

from pipeline.cli import app
from pipeline.llm.replies import Failure, Reply
from pipeline.llm.transport.client import Client
from pipeline.llm.transport.network import Network
from pipeline.system.redaction import KEY_REDACTED, REDACTED, Redaction
from pipeline.telemetry.logs import hide, one_line
from tests.faultserver.faults import Call
from tests.faultserver.http1 import Response
from tests.faultserver.server import FaultServer
from tests.jobs import JobFiles, asked, command, environment, last_line, texts
from tests.reliability.evidence import files_with

CANARY = "canary"
"""In every key below; whatever holds it has leaked."""

VARIABLE = "CANARY_KEY"
PLAIN = "sk-canary-4711-abcdefgh"
KEYS = {
    "plain": PLAIN,
    "odd": "sk-canary-\"quo'ted\\/+=&<>%~{}",
    "base64": "sk-canary/+AbC0123456789+/==",
    "500 characters": "sk-canary-" + "0123456789" * 49,
    "with blanks": "sk-canary 4711 abcdefgh",
}

each_key = pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)


@pytest.fixture
def leaks(job: JobFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[object]]:
    """Tells where the canary is: in texts, and in files of the job and of the folder for temporary files."""
    elsewhere = tmp_path / "tmp"
    elsewhere.mkdir()
    monkeypatch.setenv("TMPDIR", str(elsewhere))

    def found(*said: str) -> list[object]:
        kept = [path for path in files_with(CANARY, job.folder) if path.name != "key"]
        return [*kept, *(text for text in said if CANARY in text)]

    return found


def with_key(job: JobFiles, key: str, monkeypatch: pytest.MonkeyPatch, *, in_file: bool = False) -> JobFiles:
    if in_file:
        (job.folder / "key").write_text(key)
        return job.set(model={"api_key_file": "key"})
    monkeypatch.setenv(VARIABLE, key)
    return job.set(model={"api_key_env": VARIABLE})


def spelled(text: str, how: str) -> str:
    """A JSON string, as different endpoints write it."""
    plain = json.dumps(text, ensure_ascii=False)
    return {
        "plain": plain,
        "slashes": plain.replace("/", "\\/"),  # PHP
        "unicode": "".join(f"\\u{ord(c):04X}" if c in "\"'+/<>&=\\" else c for c in text).join('""'),  # .NET
        "nested": json.dumps(plain),  # a gateway that quotes the error of the one behind it
    }[how]


def told(call: Call) -> str:
    return f"you sent {call.request.headers['authorization']} to us"


def refusal(status: int, how: str = "plain") -> Callable[[Call], Response]:
    def act(call: Call) -> Response:
        said = spelled(told(call), how)
        return Response(status, f'{{"error": {{"message": {said}, "code": {said}}}}}'.encode())

    return act


def redirect(call: Call) -> Response:
    key = call.request.headers["authorization"].partition(" ")[2]
    where = f"http://localhost:1/{key}/{quote(key, safe='')}?key={quote(key)}"
    return Response(307, b"", (("Location", where), ("Retry-After", key), ("X-Request-Id", key)))


def repeating(call: Call) -> Response:
    right = json.loads(call.right().body)
    right["model"] = right["id"] = right["choices"][0]["message"]["content"] = told(call)
    right["choices"][0]["finish_reason"] = told(call)
    return Response(200, json.dumps(right).encode())


def refused_by_model(call: Call) -> Response:
    right = json.loads(call.right().body)
    right["choices"][0]["message"] = {"content": None, "refusal": told(call)}
    return Response(200, json.dumps(right).encode())


def bad_status_line(call: Call) -> bytes:
    return f"{told(call)}\r\n\r\n".encode()


def bad_header(call: Call) -> bytes:
    return f"HTTP/1.1 200 OK\r\n{told(call)}\r\n\r\n".encode()


class Raw:
    """Bytes that depend on the request."""

    def __init__(self, make: Callable[[Call], bytes]) -> None:
        self.make = make

    def __call__(self, call: Call) -> object:
        from tests.faultserver.http1 import End, Wire  # noqa: PLC0415

        return Wire(self.make(call), end=End.FIN)


BEHAVIOURS = {
    "401": refusal(401),
    "402": refusal(402),
    "400": refusal(400),
    "500": refusal(500),
    "200 with an error": refusal(200),
    "500, slashes escaped": refusal(500, "slashes"),
    "400, much escaped": refusal(400, "unicode"),
    "404, quoted twice": refusal(404, "nested"),
    "redirect": redirect,
    "a reply that repeats it": repeating,
    "a refusal that repeats it": refused_by_model,
    "a status line that repeats it": Raw(bad_status_line),
    "a header that repeats it": Raw(bad_header),
}


QUESTION = json.dumps({"model": "m", "messages": [{"role": "user", "content": '"a text"'}]}).encode()


@each_key
@pytest.mark.parametrize("name", BEHAVIOURS)
async def test_a_key_that_the_endpoint_repeats_is_in_no_outcome(name: str, key: str) -> None:
    seen: list[str] = []

    def act(call: Call) -> object:
        seen.append(call.request.headers["authorization"])
        return BEHAVIOURS[name](call)

    async with (
        FaultServer() as server,
        Client.open(server.base_url, lambda: {"Authorization": f"Bearer {key}"}) as client,
    ):
        server.script([act])
        outcome, window = await client.ask(QUESTION, 5)
    assert seen == [f"Bearer {key}"]
    assert CANARY not in repr((outcome, window))
    assert KEY_REDACTED in repr(outcome) or REDACTED in repr(outcome)


ENDINGS = {
    "401": 77,
    "402": 77,
    "400, much escaped": 78,
    "404, quoted twice": 78,
    "redirect": 78,
    "a reply that repeats it": 78,  # no label in any of the first 20 answers
    "a refusal that repeats it": 1,
    "500, slashes escaped": 69,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ENDINGS)
def test_a_key_that_the_endpoint_repeats_is_nowhere(
    job: JobFiles, server: FaultServer, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
    leaks: Callable[..., list[object]], name: str,
) -> None:  # fmt: skip
    job.table(texts(30))
    with_key(job, KEYS["odd"], monkeypatch).set(limits={"max_outage": "0.3s", "drain": "0.1s"})
    server.when(lambda _: True, BEHAVIOURS[name])
    config = str(job.config_file())
    assert app.main(["run", config]) == ENDINGS[name]
    assert app.main(["explain", config, "3"]) == app.main(["status", config]) == 0
    said = capfd.readouterr()
    assert asked(server)
    assert leaks(said.out, said.err) == []


@each_key
@pytest.mark.parametrize("in_file", [False, True], ids=["variable", "file"])
def test_a_run_that_ends_well_leaves_no_key_behind(
    job: JobFiles, server: FaultServer, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
    leaks: Callable[..., list[object]], key: str, *, in_file: bool,
) -> None:  # fmt: skip
    seen: set[str] = set()

    def noted(call: Call) -> Response:
        seen.add(call.request.headers["authorization"])
        return call.right()

    server.when(lambda _: True, noted)
    job.table(texts(30))
    with_key(job, key, monkeypatch, in_file=in_file)
    config, export = str(job.config_file()), str(job.folder / "export.parquet")
    for command_line in (
        ["check", config], ["plan", config], ["probe", config], ["run", config], ["status", config],
        ["explain", config, "3"], ["ledger", "stats", config], ["ledger", "export", config, export],
    ):  # fmt: skip
        assert app.main(command_line) == 0
    said = capfd.readouterr()
    assert seen == {f"Bearer {key}"}
    assert leaks(said.out, said.err) == []


@pytest.mark.slow
def test_a_secret_in_a_header_of_ones_own_is_nowhere_either(
    job: JobFiles, server: FaultServer, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
    leaks: Callable[..., list[object]],
) -> None:  # fmt: skip
    monkeypatch.setenv("GATEWAY", "canary-of-the-gateway")
    job.table(texts(30))
    job.set(model={"headers": {"X-Gateway": "${GATEWAY}", "X-Team": "user ${GATEWAY}"}})

    def repeat(call: Call) -> Response:
        headers = call.request.headers
        said = f"{headers['x-gateway']}, {headers['x-team']}, {headers['x-team'].split()[1]}"
        return Response(400, json.dumps({"error": {"message": said}}).encode())

    server.when(lambda _: True, repeat)
    config = str(job.config_file())
    assert [app.main([name, config]) for name in ("check", "plan", "run", "probe")] == [0, 0, 78, 69]
    said = capfd.readouterr()
    assert REDACTED in said.err
    assert leaks(said.out, said.err) == []


@pytest.mark.parametrize("status", [200, 201])
async def test_a_good_reply_is_kept_as_it_came_whatever_the_headers_say(status: int) -> None:
    headers = {
        "Authorization": f"Bearer {PLAIN}",
        "X-Title": "News classification",
        "HTTP-Referer": "https://example.com",
    }
    said = f"News classification, classification at https://example.com, {PLAIN}, kept-of-the-gateway"

    def repeat(call: Call) -> Response:
        right = json.loads(call.right().body)
        right["choices"][0]["message"]["content"] = said
        return Response(status, json.dumps(right).encode())

    hidden = Network(secrets=frozenset({"kept-of-the-gateway"}))
    async with FaultServer() as server, Client.open(server.base_url, lambda: headers, hidden) as client:
        server.script([repeat, refusal(400)])
        outcome, _ = await client.ask(QUESTION, 5)
    assert isinstance(outcome, Reply)
    assert outcome.text == said.replace(PLAIN, KEY_REDACTED)


@pytest.mark.parametrize("name", ["api-key", "X-Api-Key", "Cookie", "X-Auth-Token"])
async def test_a_key_under_another_name_is_in_no_outcome(name: str) -> None:
    def repeat(call: Call) -> Response:
        right = json.loads(call.right().body)
        right["choices"][0]["message"]["content"] = call.request.headers[name.lower()]
        return Response(200, json.dumps(right).encode())

    async with FaultServer() as server, Client.open(server.base_url, lambda: {name: PLAIN}) as client:
        server.script([repeat])
        outcome, _ = await client.ask(QUESTION, 5)
    assert isinstance(outcome, Reply)
    assert outcome.text == KEY_REDACTED


async def test_a_key_in_the_urls_query_is_in_no_outcome() -> None:
    def repeat(call: Call) -> Response:
        return Response(400, json.dumps({"error": {"message": call.request.path}}).encode())

    async with FaultServer() as server, Client.open(f"{server.base_url}?key={PLAIN}", dict) as client:
        server.script([repeat])
        outcome, _ = await client.ask(QUESTION, 5)
    assert isinstance(outcome, Failure)
    assert f"?key={REDACTED}" in outcome.message


def test_rows_that_lost_words_of_their_replies_to_an_earlier_version_are_asked_again(
    job: JobFiles, server: FaultServer
) -> None:
    rows = texts(30)
    job.table(rows)
    cut_rows, spoilt = set(rows[:7]), json.dumps({"label": "[redacted]"})

    def cut(call: Call) -> Response:
        right = json.loads(call.right().body)
        right["choices"][0]["message"]["content"] = spoilt
        return Response(200, json.dumps(right).encode())

    server.when(lambda text: text in cut_rows, cut)
    assert job.run().returncode == 1
    assert job.labelled()["label_status"].to_list().count("invalid") == 7
    before = len(asked(server))
    cut_rows.clear()
    job.set(task={"max_text_tokens": 1999})  # another job, whose prompts are the same
    planned = last_line(command("plan", str(job.config_file())))
    assert planned["requests"] - planned["asked_again"] == 7
    assert last_line(job.run())["ok"] == 30
    assert len(asked(server)) - before == 7
    job.output.unlink()
    assert last_line(job.run())["requests"] == 0


@pytest.mark.parametrize(
    "key",
    ["sk-canary\nX-Evil: 1", "sk-canary-\u20ac", "sk-canary\x00", "sk-canary\x1b[31m", "sk-canary\r\n\r\n"],
)
@pytest.mark.parametrize("in_file", [False, True], ids=["variable", "file"])
def test_a_key_that_cannot_be_one_is_refused_and_not_told(
    job: JobFiles, server: FaultServer, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
    leaks: Callable[..., list[object]], key: str, *, in_file: bool,
) -> None:  # fmt: skip
    if "\x00" in key and not in_file:
        pytest.skip("no variable can hold it")
    job.table(texts(5))
    config = str(with_key(job, key, monkeypatch, in_file=in_file).config_file())
    assert [app.main([name, config]) for name in ("check", "run", "probe")] == [78] * 3
    said = capfd.readouterr()
    assert server.requests == 0
    assert leaks(said.out, said.err) == []


@pytest.mark.parametrize(
    "change",
    [
        {"base_url": "https://canary:canary@example.com/v1"},
        {"base_url": "https://example.com/v1?key=canary"},
        {"api_key": "sk-canary"},
        {"api_key_env": "sk-canary"},
        {"headers": {"Authorization": "Bearer sk-canary"}},
        {"headers": {"x-api-key": "sk-canary-4711-abcdefgh"}},
    ],
)
@pytest.mark.parametrize("as_option", [False, True], ids=["in the file", "as an option"])
def test_a_secret_in_the_config_is_refused_and_not_told(
    job: JobFiles, capfd: pytest.CaptureFixture[str], change: dict[str, object], *, as_option: bool
) -> None:
    job.table(texts(5))
    options = [f"--set=model.{name}={json.dumps(value)}" for name, value in change.items()]
    if not as_option:
        job.set(model=change)
    config = str(job.config_file())
    status = {78, 2} if as_option else {78}
    assert {app.main([name, config, *(options if as_option else [])]) for name in ("check", "run")} <= status
    said = capfd.readouterr()
    assert said.err
    assert CANARY not in said.out + said.err


def nobody_there(_: JobFiles, server: FaultServer) -> str:
    server.start_outage("refuse")
    return server.base_url


def no_such_host(_: JobFiles, __: FaultServer) -> str:
    return "https://no-such-host.invalid/v1"


@pytest.mark.parametrize("where", [nobody_there, no_such_host])
def test_a_connection_that_cannot_be_made_tells_no_key(
    job: JobFiles, server: FaultServer, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
    leaks: Callable[..., list[object]], where: Callable[[JobFiles, FaultServer], str],
) -> None:  # fmt: skip
    job.table(texts(5))
    with_key(job, PLAIN, monkeypatch).set(limits={"max_outage": "0.3s", "drain": "0.1s"})
    job.set(model={"base_url": where(job, server)})
    config = str(job.config_file())
    assert [app.main([name, config]) for name in ("run", "probe")] == [69, 69]
    said = capfd.readouterr()
    assert leaks(said.out, said.err) == []


def test_a_server_with_a_bad_certificate_sees_no_key(
    job: JobFiles, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
    leaks: Callable[..., list[object]], untrusted: ssl.SSLContext,
) -> None:  # fmt: skip
    job.table(texts(5))
    with FaultServer(tls=untrusted) as server:
        with_key(job, PLAIN, monkeypatch).set(model={"base_url": server.base_url})
        assert app.main(["run", str(job.config_file())]) == 78
        assert server.requests == 0
    said = capfd.readouterr()
    assert "certificate" in said.err
    assert leaks(said.out, said.err) == []


# Other processes: everything that Python and the libraries can be made to say.

SABOTAGE = """
import sys

CHILDREN = ("subprocess.Popen", "os.fork", "os.exec", "os.posix_spawn", "os.system", "os.startfile")

def note(event, arguments):
    if event in CHILDREN:
        sys.stderr.write(f"<child> {event}\\n")

sys.addaudithook(note)

def broken(self, request, *more):
    raise TypeError(f"cannot send {request.headers}")

if SABOTAGE:
    import aiohttp
    aiohttp.TCPConnector.connect = broken
"""


@pytest.fixture
def customised(tmp_path: Path) -> Callable[..., dict[str, str]]:
    """Make an environment whose Python notes the start of other processes, or has a broken library."""

    def make(*, sabotage: bool) -> dict[str, str]:
        folder = tmp_path / "site"
        folder.mkdir()
        (folder / "sitecustomize.py").write_text(SABOTAGE.replace("SABOTAGE", str(sabotage)))
        return {"PYTHONPATH": f"{folder}:{environment()['PYTHONPATH']}", VARIABLE: PLAIN}

    return make


@pytest.mark.parametrize("form", ["text", pytest.param("json", marks=pytest.mark.slow)])
def test_a_bug_tells_where_it_is_and_not_the_key(
    job: JobFiles, monkeypatch: pytest.MonkeyPatch, leaks: Callable[..., list[object]],
    customised: Callable[..., dict[str, str]], form: str,
) -> None:  # fmt: skip
    job.table(texts(5))
    with_key(job, PLAIN, monkeypatch)
    done = job.spawn("--log-format", form, env=customised(sabotage=True))
    assert done.returncode == 70, done.stderr
    assert "Traceback" in done.stderr
    assert re.search(rf"TypeError: cannot send .*'Authorization': '{re.escape(REDACTED)}'", done.stderr)
    assert last_line(done)["status"] == "error"
    assert leaks(done.stdout, done.stderr) == []


@pytest.mark.slow
def test_with_all_that_can_be_switched_on_the_key_is_not_told_and_no_process_inherits_it(
    job: JobFiles, monkeypatch: pytest.MonkeyPatch, leaks: Callable[..., list[object]],
    customised: Callable[..., dict[str, str]],
) -> None:  # fmt: skip
    job.table(texts(30))
    with_key(job, PLAIN, monkeypatch)
    switches = {
        "PYTHONASYNCIODEBUG": "1",
        "PYTHONVERBOSE": "",
        "PYTHONFAULTHANDLER": "1",
        "PYTHONWARNINGS": "default",
    }
    done = job.spawn(
        "--log-format", "json", env={**customised(sabotage=False), **switches, "AIOHTTP_DEBUG": "1"}
    )
    assert done.returncode == 0, done.stderr
    assert "<child>" not in done.stderr
    assert leaks(done.stdout, done.stderr) == []


@pytest.mark.slow
def test_a_spill_holds_no_key(
    job: JobFiles, server: FaultServer, monkeypatch: pytest.MonkeyPatch, leaks: Callable[..., list[object]], tmp_path: Path
) -> None:  # fmt: skip
    """The ledger may not grow any more (a spill may); the endpoint has put the key into each reply."""
    job.table(texts(6000))
    with_key(job, PLAIN, monkeypatch).set(limits={"max_failed": "100%"})
    server.when(lambda _: True, repeating)
    limited = f"ulimit -f 800; exec {sys.executable} -m pipeline run {job.config_file()}"
    env = environment({VARIABLE: PLAIN, "TMPDIR": os.environ["TMPDIR"]})
    done = subprocess.run(["bash", "-c", limited], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 74, done.stderr
    spills = list((tmp_path / "tmp").glob("pipeline-spill-*"))
    assert spills, done.stderr
    assert all(KEY_REDACTED.encode() in spill.read_bytes() for spill in spills)
    assert leaks(done.stdout, done.stderr) == []


@pytest.mark.slow
def test_the_key_is_not_in_the_command_line_of_the_process(job: JobFiles, server: FaultServer) -> None:
    job.table(texts(5))
    (job.folder / "key").write_text(PLAIN)
    job.set(model={"api_key_file": "key"})
    server.when(lambda _: True, "hang")
    process = job.start("--quiet")
    try:
        while not server.requests and process.poll() is None:
            time.sleep(0.005)
        facts = [Path(f"/proc/{process.pid}/{name}").read_bytes() for name in ("cmdline", "environ")]
    finally:
        process.kill()
        process.communicate()
    assert all(facts)
    assert [fact for fact in facts if CANARY.encode() in fact] == []


# What takes secrets out.


@each_key
@pytest.mark.parametrize("how", ["plain", "slashes", "unicode", "nested"])
def test_a_secret_is_found_however_it_is_spelled(key: str, how: str) -> None:
    redaction = Redaction([f"Bearer {key}"])
    text = f'{{"message": {spelled(f"you sent {key} and Bearer {key}.", how)}}}'
    assert redaction.of(text).count(REDACTED) == 2
    assert CANARY not in redaction.of(text)
    assert redaction.of_bytes(text.encode()) == redaction.of(text).encode()


def test_short_words_and_other_texts_stay_as_they_are() -> None:
    redaction = Redaction(["Bearer abc", "games"])
    assert redaction.of("Bearer abc likes games, Bearer abd too") == f"{REDACTED} likes games, Bearer abd too"
    assert Redaction().of_bytes(b"anything") == b"anything"
    assert Redaction().of("") == ""


def test_what_is_hidden_is_in_no_line_any_more() -> None:
    hide(["Bearer sk-hidden-4711"])
    hide(["another-hidden-one"])
    assert one_line("sk-hidden-4711 another-hidden-one\n") == f"{REDACTED} {REDACTED}\\n"
