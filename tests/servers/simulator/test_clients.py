"""The simulator as clients see it that nobody here wrote: OpenAI's own library and curl."""

import asyncio
import gzip
import json
import subprocess
from collections.abc import Callable, Iterator
from shutil import which
from typing import Any, TypeVar

import jsonschema
import pytest
from openai import APIStatusError, AsyncOpenAI, BadRequestError, NotFoundError, RateLimitError
from pydantic import BaseModel

from pipeline.servers.simulator import server as server_module
from pipeline.servers.simulator.server import Simulator
from pipeline.servers.simulator.settings import Refusal, SimulatorSettings
from tests.faultserver.client import chat
from tests.specification import CHUNK, ERROR, MODEL, REPLY, problems

HELLO: list[Any] = [{"role": "user", "content": "hello"}]

needs_curl = pytest.mark.skipif(which("curl") is None, reason="needs curl")


def client(server: Simulator) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=server.base_url, api_key="any", max_retries=0, timeout=10)


# OpenAI's library


async def test_openais_library_gets_as_many_choices_as_it_asks_for() -> None:
    async with Simulator() as server, client(server) as openai:
        got = await openai.chat.completions.create(
            model="m", messages=HELLO, n=3, logprobs=True, top_logprobs=2, max_completion_tokens=4
        )
    assert [(choice.index, choice.finish_reason) for choice in got.choices] == [
        (n, "length") for n in range(3)
    ]
    assert problems(got.model_dump(exclude_unset=True), REPLY) == []
    assert got.usage is not None
    assert got.usage.completion_tokens == 12


async def test_openais_library_reads_the_same_from_a_stream_as_from_a_whole_reply() -> None:
    asked: dict[str, Any] = {"model": "m", "messages": HELLO, "logprobs": True, "n": 2}
    async with Simulator() as server, client(server) as openai:
        whole = await openai.chat.completions.create(**asked)
        async with openai.chat.completions.stream(**asked, stream_options={"include_usage": True}) as stream:
            streamed = await stream.get_final_completion()
        assert server.log.billed == 2
    assert [choice.message.content for choice in streamed.choices] == [
        choice.message.content for choice in whole.choices
    ]
    assert [choice.logprobs.content for choice in streamed.choices if choice.logprobs] == [
        choice.logprobs.content for choice in whole.choices if choice.logprobs
    ]
    assert [choice.finish_reason for choice in streamed.choices] == ["stop", "stop"]
    assert streamed.usage == whole.usage


async def test_a_stream_tells_its_usage_only_where_it_is_asked_for() -> None:
    async with Simulator() as server, client(server) as openai:
        told = []
        for more in ({}, {"stream_options": {"include_usage": True}}):
            stream = await openai.chat.completions.create(model="m", messages=HELLO, stream=True, **more)
            chunks = [chunk.model_dump(exclude_unset=True) async for chunk in stream]
            assert [problem for chunk in chunks for problem in problems(chunk, CHUNK)] == []
            told.append([chunk["usage"] for chunk in chunks if chunk.get("usage")])
    assert (told[0], len(told[1])) == ([], 1)


async def test_a_refusal_comes_as_a_stream_too() -> None:
    async with (
        Simulator(SimulatorSettings(faults={"refusal": 1})) as server,
        client(server) as openai,
        openai.chat.completions.stream(model="m", messages=HELLO) as stream,
    ):
        message = (await stream.get_final_completion()).choices[0].message
    assert (message.content, message.refusal) == (None, "I can't help with that.")


class Rating(BaseModel):
    """A shape of answer that this program never asks for."""

    title: str
    stars: int
    kinds: list[str]
    better: "Rating | None"


async def test_openais_library_parses_the_answer_to_a_schema_of_another_shape() -> None:
    async with Simulator() as server, client(server) as openai:
        got = await openai.chat.completions.parse(model="m", messages=HELLO, response_format=Rating)
    assert isinstance(got.choices[0].message.parsed, Rating)


@pytest.mark.parametrize(
    ("fields", "kind", "status", "param", "code"),
    [
        ({"max_tokens": "x"}, BadRequestError, 400, "max_tokens", "invalid_value"),
        ({"messages": [{"role": "king", "content": "x"}]}, BadRequestError, 400, "messages[0].role", "invalid_value"),
        ({"model": "other"}, NotFoundError, 404, None, "model_not_found"),
    ],
)  # fmt: skip
async def test_openais_library_knows_its_error(
    fields: dict[str, Any], kind: type[APIStatusError], status: int, param: str | None, code: str
) -> None:
    async with Simulator(SimulatorSettings(models=("m",))) as server, client(server) as openai:
        with pytest.raises(kind) as caught:
            await openai.chat.completions.create(**{"model": "m", "messages": HELLO, **fields})
        assert (await openai.chat.completions.create(model="m", messages=HELLO)).choices
    error = caught.value
    assert (error.status_code, error.param, error.code) == (status, param, code)
    assert error.type == "invalid_request_error"


async def test_openais_library_comes_back_after_a_refusal_at_random() -> None:
    settings = SimulatorSettings(refusals=(Refusal(429, 0.5, 0.01),))
    async with Simulator(settings) as server, client(server) as openai:
        patient = openai.with_options(max_retries=20)
        for number in range(5):
            messages: list[Any] = [{"role": "user", "content": f"row {number}"}]
            assert (await patient.chat.completions.create(model="m", messages=messages)).choices
        assert server.log.reasons["refused at random"] > 0
    async with Simulator(SimulatorSettings(refusals=(Refusal(429, 1),))) as server, client(server) as openai:
        with pytest.raises(RateLimitError):
            await openai.chat.completions.create(model="m", messages=HELLO)


async def test_openais_library_lists_and_finds_models() -> None:
    for names in (("a", "b/c"), None):
        async with Simulator(SimulatorSettings(models=names)) as server, client(server) as openai:
            listed = [model async for model in openai.models.list()]
            assert [model.id for model in listed] == list(names or ["simulated"])
            found = await openai.models.retrieve(listed[-1].id)
            assert problems(found.model_dump(exclude_unset=True), MODEL) == []


# curl

T = TypeVar("T")
Answer = tuple[int, dict[str, str], bytes]


async def in_a_thread(call: Callable[[], T]) -> T:
    return await asyncio.to_thread(call)


def curl(*options: str, body: bytes | None = None) -> Answer:
    """Return the status, the headers and the body of the last reply that curl saw."""
    more = () if body is None else ("--data-binary", "@-")
    words = ["curl", "-sS", "-i", "--max-time", "10", *more, *options]
    seen = subprocess.run(words, input=body, capture_output=True, check=True).stdout
    while seen.startswith(b"HTTP/1.1 100"):
        seen = seen.partition(b"\r\n\r\n")[2]
    head, _, rest = seen.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (each.partition(": ") for each in lines)}
    return int(first.split(" ")[1]), headers, rest


@needs_curl
@pytest.mark.parametrize(
    ("options", "path", "status", "headers"),
    [
        (["-X", "OPTIONS"], "/chat/completions", 204, {"allow": "POST"}),
        (["-X", "OPTIONS"], "/models", 204, {"allow": "GET,HEAD"}),
        (["--head"], "/models", 200, {"content-type": "application/json"}),
        (["--head"], "/chat/completions", 405, {"allow": "POST"}),
    ],
)
async def test_head_and_options_have_headers_and_no_body(
    options: list[str], path: str, status: int, headers: dict[str, str]
) -> None:
    async with Simulator() as server:
        got = await in_a_thread(lambda: curl(*options, server.base_url + path))
    assert (got[0], got[2]) == (status, b"")
    assert got[1].items() >= headers.items()


@needs_curl
async def test_curl_may_send_a_body_in_any_way_that_http_has() -> None:
    body = chat("x" * 2_000_000)
    ways = [
        (["-H", "Expect: 100-continue"], body),
        (["-H", "Transfer-Encoding: chunked"], body),
        (["-H", "Content-Encoding: gzip"], gzip.compress(body)),
        (["-H", "Content-Type: text/plain"], body),
        (["--http1.0"], body),
    ]
    async with Simulator() as server:
        url = server.base_url + "/chat/completions"
        for options, sent in ways:
            status, _, reply = await in_a_thread(lambda o=options, s=sent: curl(*o, url, body=s))  # type: ignore[misc]
            assert status == 200, options
            assert problems(json.loads(reply), REPLY) == []


@needs_curl
async def test_curl_gets_the_error_of_what_it_cannot_send_and_nobody_else_hears_of_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(server_module, "MAX_BODY_BYTES", 100_000)
    async with Simulator() as server:
        url = server.base_url + "/chat/completions"
        for options, sent, status in [
            (["-H", "Content-Encoding: gzip"], b"no gzip", 400),
            ([], b"no json", 400),
            ([], b'{"messages": [{"role": "user", "content": "x"}]}', 400),
            ([], chat("x" * 2_000_000), 413),
            (["-X", "PUT"], b"{}", 405),
        ]:
            got = await in_a_thread(lambda o=options, s=sent: curl(*o, url, body=s))  # type: ignore[misc]
            assert got[0] == status, options
            assert problems(json.loads(got[2]), ERROR) == []
    assert caplog.records == []


def events(body: bytes) -> Iterator[str]:
    for event in body.decode().split("\n\n")[:-1]:
        assert event.startswith("data: ")
        yield event.removeprefix("data: ")


@needs_curl
@pytest.mark.parametrize("version", ["--http1.1", "--http1.0"])
async def test_curl_sees_a_stream_of_events_that_ends_with_done(version: str) -> None:
    async with Simulator() as server:
        url = server.base_url + "/chat/completions"
        body = chat("x", stream=True, logprobs=True)
        status, headers, got = await in_a_thread(lambda: curl(version, url, body=body))
    *chunks, done = events(got)
    assert (status, done) == (200, "[DONE]")
    assert headers["content-type"].startswith("text/event-stream")
    read = [json.loads(chunk) for chunk in chunks]
    for chunk in read:
        jsonschema.validate(chunk, CHUNK)
    assert read[-1]["choices"][0]["finish_reason"] == "stop"
    said = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in read)
    assert set(json.loads(said)) == {"label"}
