"""The fault server answers rightly, counts honestly and does what it is told."""

import json
from hashlib import blake2b
from pathlib import Path

import pytest

from pipeline.errors import UsageError
from pipeline.servers.simulator.log import Entry
from tests.faultserver.client import LABELS, ask, chat, line, request
from tests.faultserver.http1 import Response
from tests.faultserver.log import read_log
from tests.faultserver.server import FaultServer
from tests.faultserver.settings import FaultServerSettings

TRUTH = {"a chess engine": "games", "a mixer": "sound", 'a "quoted"\nline, ünïcode': "mail"}


async def test_each_row_gets_the_label_that_the_test_says_is_right():
    async with FaultServer(label_for=TRUTH.__getitem__) as server:
        assert {text: (await ask(server, text)).label for text in TRUTH} == TRUTH


async def test_a_list_of_labels_is_answered_with_a_list():
    async with FaultServer(label_for=lambda _: ["games", "mail"]) as server:
        assert json.loads((await ask(server, "x", multi=True)).content) == {"labels": ["games", "mail"]}


async def test_without_a_function_the_label_is_a_member_of_the_schema_and_always_the_same():
    async with FaultServer() as server:
        first = [(await ask(server, f"row {n}")).label for n in range(30)]
        again = [(await ask(server, f"row {n}")).label for n in range(30)]
    assert first == again
    assert set(first) == set(LABELS)


async def test_without_a_schema_the_labels_come_from_the_system_message():
    system = 'Choose.\n\nLabels:\n- red: like fire\n- blue\n\nReply with {"label": "..."}\n- no label'
    async with FaultServer() as server:
        labels = {
            (await ask(server, f"row {n}", system=system, response_format=None)).label for n in range(30)
        }
    assert labels == {"red", "blue"}


async def test_a_text_that_has_no_known_label_is_a_400_that_says_so():
    async with FaultServer(label_for=TRUTH.__getitem__) as server:
        got = await ask(server, "never seen")
    assert got.status == 400
    assert "never seen" in got.json["error"]["message"]


async def test_a_reply_has_all_parts_of_a_completion():
    async with FaultServer(label_for=lambda _: "games") as server:
        got = await ask(server, "x")
    assert got.headers["x-request-id"]
    assert got.json["object"] == "chat.completion"
    assert got.json["id"].startswith("chatcmpl-")
    assert got.json["model"] == "m"
    assert got.json["choices"][0]["finish_reason"] == "stop"
    assert got.json["choices"][0]["logprobs"] is None


async def test_the_log_holds_what_was_asked_and_billed():
    async with FaultServer(label_for=lambda _: "games") as server:
        got = await ask(server, "x", ask="Classify this:\n", system="Choose.")
        (entry,) = server.entries
    content = 'Classify this:\n"x"'
    assert entry.key == blake2b(content.encode(), digest_size=16).hexdigest()
    assert (entry.text, entry.status, entry.fault, entry.billed) == ("x", 200, None, True)
    usage = got.json["usage"]
    assert (entry.prompt_tokens, entry.completion_tokens) == (
        usage["prompt_tokens"],
        usage["completion_tokens"],
    )


async def test_the_sums_of_the_log_are_the_sums_of_all_usages():
    async with FaultServer(FaultServerSettings(faults={"http_500": 0.3, "cut_json": 0.2})) as server:
        replies = [await ask(server, f"row {n}") for n in range(100)]
        told = [entry for entry in server.entries if entry.billed and entry.fault is None]
        usages = [
            got.json["usage"] for got, entry in zip(replies, server.entries, strict=True) if entry in told
        ]
        assert server.requests == 100
        assert server.billed == sum(entry.billed for entry in server.entries)
        assert server.log.prompt_tokens == sum(entry.prompt_tokens for entry in server.entries)
    assert [entry.prompt_tokens for entry in told] == [usage["prompt_tokens"] for usage in usages]
    assert 40 < len(told) < 60


async def test_a_key_that_was_billed_twice_is_a_repeat_and_an_unbilled_one_is_not():
    async with FaultServer() as server:
        server.script(["http_500", None, "cut_json", None])
        for text in ("a", "a", "b", "b", "c"):
            await ask(server, text)
        assert list(server.repeats().values()) == [2]
        assert server.repeats().keys() == {server.entries[3].key}


async def test_a_second_ask_in_other_words_is_marked_and_is_no_repeat():
    async with FaultServer() as server:
        await ask(server, "x")
        await ask(server, "x", ask="Once more, stricter:\n")
        assert [entry.again for entry in server.entries] == [False, True]
        assert server.repeats() == {}


async def test_the_log_file_has_a_line_for_each_request(tmp_path: Path):
    path = tmp_path / "log.jsonl"
    async with FaultServer(FaultServerSettings(log_path=path, keep_entries=False)) as server:
        server.script(["http_503", None])
        for text in ("a", "b", "\ud800 lone"):
            await ask(server, text)
        assert [entry.status for entry in read_log(path)] == [503, 200, 200]
        assert server.entries == []
    assert all(isinstance(entry, Entry) for entry in read_log(path))


async def test_a_line_of_the_log_that_was_cut_by_a_crash_is_left_out(tmp_path: Path):
    path = tmp_path / "log.jsonl"
    async with FaultServer(FaultServerSettings(log_path=path)) as server:
        await ask(server, "a")
    path.write_bytes(path.read_bytes() + b'{"at": 17')
    assert [entry.text for entry in read_log(path)] == ["a"]


async def test_the_script_comes_first_and_in_turn():
    async with FaultServer(
        FaultServerSettings(faults={"http_500": 1.0}), label_for=lambda _: "games"
    ) as server:
        server.script(
            ["http_409", None, Response(418, b"tea"), b"rubbish", lambda call: call.reply("so").response()]
        )
        statuses = [(await ask(server, "x")).status for _ in range(3)]
        async with line(server) as connection:
            connection.writer.write(request(chat("x")))
            assert await connection.reader.read() == b"rubbish"
        assert (await ask(server, "x")).content == "so"
        assert (await ask(server, "x")).status == 500
    assert statuses == [409, 200, 418]


async def test_one_row_can_be_given_its_own_behaviour():
    async with FaultServer() as server:
        server.when(lambda text: "poison" in text, "bad_request")
        assert [(await ask(server, text)).status for text in ("a", "poison pill", "b")] == [200, 400, 200]


async def test_a_fault_that_does_not_exist_is_refused_at_once():
    async with FaultServer() as server:
        with pytest.raises(UsageError, match="http_50: there is none of that name"):
            server.script(["http_50"])


async def faults_of(seed: int, order: range) -> dict[str, str | None]:
    settings = FaultServerSettings(seed=seed, faults={"http_500": 0.3, "prose": 0.2})
    async with FaultServer(settings) as server:
        for n in order:
            await ask(server, f"row {n}")
        return {entry.text: entry.fault for entry in server.entries}


async def test_the_same_seed_gives_each_row_the_same_fault_in_any_order():
    assert await faults_of(7, range(60)) == await faults_of(7, range(59, -1, -1))


async def test_a_row_that_is_asked_again_gets_new_dice():
    async with FaultServer(FaultServerSettings(faults={"http_500": 0.5})) as server:
        assert {(await ask(server, "x")).status for _ in range(20)} == {200, 500}
