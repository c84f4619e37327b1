"""The embedded model behind the HTTP interface of all the others: a job with no key and no network.

A run starts the endpoint and stops it; what the run sends and reads is the same as with any provider.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from math import log
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import orjson
from aiohttp import web

from pipeline.errors import ConfigError
from pipeline.servers.embedded.question import MODEL, BadRequestError, Question, read_question, unknown_model

if TYPE_CHECKING:
    from pipeline.servers.embedded.model import Found, LocalModel

MAX_BATCH = 16
"""Questions in one pass of the model: a pass takes about a second, and larger ones are no faster."""

MAX_WAITING = 256
"""Questions that may wait, some fifteen seconds of work; further ones are told to come later."""

MAX_BODY_BYTES = 1 << 22

SHUTDOWN_SECONDS = 5.0
"""How long requests that are being answered may take when the endpoint closes."""


@dataclass(slots=True)
class _Waiting:
    """A question and, soon, its answer."""

    question: Question
    answer: asyncio.Future["Found"] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class LocalEndpoint:
    """An OpenAI-compatible endpoint on loopback that answers with `multilingual-e5-small`, for free.

    Use it as `async with LocalEndpoint() as endpoint:` and send requests to `endpoint.base_url`.
    The model works in a thread of its own, on all questions that wait at that moment, at most MAX_BATCH.

    In a reply, `logprobs` are of the choice among the labels. `usage.prompt_tokens` is what the model's own
    tokenizer counts, prefixes and marks included: the row's text, and the labels' descriptions and examples,
    which are `cached_tokens` once they are known. Nothing is generated; `completion_tokens` counts the pieces
    that the reply is made of.

    Args:
        wall: Unix time in seconds, for the replies' `created`.
    """

    def __init__(self, wall: Callable[[], float] = time.time) -> None:
        self._wall = wall
        self._answered = 0
        self._waiting: deque[_Waiting] = deque()
        self._turn = asyncio.Lock()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="local-model")
        self._runner = web.AppRunner(self._app(), access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
        self._model: LocalModel
        self.base_url: str

    async def __aenter__(self) -> Self:
        """Load the model and listen.

        Raises:
            ConfigError: The model is not installed, or does not run on this machine.
        """
        try:
            self._model = await asyncio.get_running_loop().run_in_executor(self._thread, _load)
            await self._runner.setup()
            site = web.TCPSite(self._runner, "127.0.0.1", 0)
            await site.start()
        except BaseException:
            await self._close()
            raise
        self.base_url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()
        del self._model  # its 70 MB: the web application keeps this object alive until the next collection

    async def _close(self) -> None:
        await self._runner.cleanup()
        await asyncio.to_thread(self._thread.shutdown)

    def _app(self) -> web.Application:
        app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[_in_openai_shape])
        app.router.add_post("/v1/chat/completions", self._complete)
        app.router.add_get("/v1/models", _models)
        app.router.add_get("/v1/models/{id}", _model)
        return app

    async def _complete(self, request: web.Request) -> web.Response:
        question = read_question(await request.read())
        found = await self._ask(question)
        self._answered += 1
        return _json(reply(question, found, f"chatcmpl-local-{self._answered}", int(self._wall())))

    async def _ask(self, question: Question) -> "Found":
        if len(self._waiting) >= MAX_WAITING:
            raise BadRequestError("too many questions wait; ask again later", code="overloaded", status=503)
        waiting = _Waiting(question)
        self._waiting.append(waiting)
        async with self._turn:
            # Whoever had the turn before may have taken this question along.
            if not waiting.answer.done():
                await self._answer_batch()
        return await waiting.answer

    async def _answer_batch(self) -> None:
        batch = [self._waiting.popleft() for _ in range(min(MAX_BATCH, len(self._waiting)))]
        questions = [waiting.question for waiting in batch]
        try:
            found = await asyncio.get_running_loop().run_in_executor(
                self._thread, self._model.answer, questions
            )
            for waiting, answer in zip(batch, found, strict=True):
                waiting.answer.set_result(answer)
        except Exception as error:  # noqa: BLE001 - raised again, in every request of the batch
            for waiting in batch:
                waiting.answer.set_exception(error)
        finally:
            # When this request is cancelled, the others of its batch may not wait for ever.
            for waiting in batch:
                waiting.answer.cancel()


def _load() -> "LocalModel":
    try:
        from pipeline.servers.embedded.model import LocalModel  # noqa: PLC0415 - an extra, imported when used

        return LocalModel()
    except (ImportError, OSError) as error:
        raise ConfigError(
            f"model.provider: local cannot load its model ({error}); "
            "install it with `pip install 'nano-pipeline[local]'`, or choose another provider"
        ) from error


def reply(question: Question, found: "Found", name: str, created: int) -> dict[str, Any]:
    """Return the body of a chat completion.

    Args:
        question: What was asked.
        found: The answer.
        name: The reply's id.
        created: Unix time in seconds.
    """
    tokens = _tokens(question.choices.field, found.labels)
    content = {"role": "assistant", "content": "".join(token for token, _ in tokens)}
    listed: list[dict[str, Any]] = [
        {"token": token, "logprob": value, "bytes": None, "top_logprobs": []} for token, value in tokens
    ]
    choice = {
        "index": 0,
        "message": content,
        "finish_reason": "stop",
        "logprobs": {"content": listed} if question.logprobs else None,
    }
    return {
        "id": name,
        "object": "chat.completion",
        "created": created,
        "model": MODEL,
        "choices": [choice],
        "usage": _usage(found, len(tokens)),
    }


def _usage(found: "Found", completion_tokens: int) -> dict[str, Any]:
    return {
        "prompt_tokens": found.prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": found.prompt_tokens + completion_tokens,
        "prompt_tokens_details": {"cached_tokens": found.cached_tokens},
        "cost": 0,
    }


def _tokens(answer_field: str, labels: tuple[tuple[str, float], ...]) -> list[tuple[str, float]]:
    """Return the pieces of the answer's JSON, each with the log of its probability; one piece is one label."""
    if answer_field == "label":
        before, after = '{"label":"', '"}'
    else:
        before, after = ('{"labels":["', '"]}') if labels else ('{"labels":[', "]}")
    tokens = [(before, 0.0)]
    for label, probability in labels:
        if len(tokens) > 1:
            tokens.append(('","', 0.0))
        tokens.append((orjson.dumps(label).decode()[1:-1], min(0.0, log(probability))))
    return [*tokens, (after, 0.0)]


async def _models(_request: web.Request) -> web.Response:
    return _json({"object": "list", "data": [_MODEL_OBJECT]})


async def _model(request: web.Request) -> web.Response:
    if request.match_info["id"] != MODEL:
        raise unknown_model(request.match_info["id"])
    return _json(_MODEL_OBJECT)


_MODEL_OBJECT: dict[str, Any] = {
    "id": MODEL,
    "object": "model",
    "created": 0,
    "owned_by": "local",
    "pricing": {"method": "token", "input_cost_per_token": 0, "output_cost_per_token": 0},
}


@web.middleware
async def _in_openai_shape(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Answer a refused request with OpenAI's error object."""
    try:
        return await handler(request)
    except BadRequestError as error:
        fields = {"message": str(error), "param": error.param, "code": error.code}
        status = error.status
    except web.HTTPException as error:
        fields = {"message": f"{error.status} {error.reason}", "param": None, "code": None}
        status = error.status
    kind = "server_error" if status >= 500 else "invalid_request_error"  # noqa: PLR2004
    return _json({"error": {**fields, "type": kind}}, status)


def _json(body: dict[str, Any], status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(body), status=status, content_type="application/json")
