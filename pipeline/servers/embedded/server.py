"""The embedded model behind the HTTP interface that every provider has: a job needs neither key nor network.

A run starts and stops the endpoint, and sends and reads the same as with any provider.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

import orjson
from aiohttp import web

from pipeline.errors import ConfigError
from pipeline.servers.embedded.question import MODEL, Question, read_question, unknown_model
from pipeline.servers.embedded.reply import reply
from pipeline.servers.protocol.completion import EVENT_STREAM, as_events
from pipeline.servers.protocol.errors import INVALID, BadRequestError, error_body
from pipeline.servers.protocol.http import read, send, untaken

if TYPE_CHECKING:
    from pipeline.servers.embedded.model import Found

MAX_BATCH = 16
"""Questions in one pass of the model: a pass takes about a second, and larger ones are no faster."""

MAX_WAITING = 256
"""Questions that may wait, some fifteen seconds of work; further ones get status 503."""

MAX_BODY_BYTES = 1 << 22

SHUTDOWN_SECONDS = 5.0
"""How long requests in progress may take when the endpoint closes."""


class Model(Protocol):
    """Answers questions; its calls block, and come from one thread."""

    def answer(self, questions: Sequence[Question]) -> "list[Found]":
        """Return the answers to *questions*, in order."""


@dataclass(slots=True)
class _Waiting:
    """A question that waits for its answer."""

    question: Question
    answer: asyncio.Future["Found"] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class EmbeddedServer:
    """An OpenAI-compatible endpoint on loopback that answers with `multilingual-e5-small`, for free.

    Use it as `async with EmbeddedServer() as server:` and send requests to `server.base_url`.
    The model runs in a thread of its own, on all questions that wait at that moment, at most MAX_BATCH.

    Args:
        load: Returns the model to answer with; called in the model's thread. By default it is an EmbeddedModel.
        wall: Unix time in seconds, for the replies' `created`.
    """

    def __init__(
        self, load: Callable[[], Model] | None = None, *, wall: Callable[[], float] = time.time
    ) -> None:
        self._load, self._wall = load or _load_model, wall
        self._answered = 0
        self._waiting: deque[_Waiting] = deque()
        self._batching = asyncio.Lock()  # one pass of the model at a time
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="embedded-model")
        self._runner = web.AppRunner(self._app(), access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
        self._model: Model
        self.base_url: str

    async def __aenter__(self) -> Self:
        """Load the model and listen.

        Raises:
            ConfigError: The model is not installed, or does not run on this machine.
        """
        try:
            self._model = await asyncio.get_running_loop().run_in_executor(self._thread, self._load)
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
        del self._model  # 70 MB: the web application keeps this object alive until the next collection

    async def _close(self) -> None:
        await self._runner.cleanup()
        await asyncio.to_thread(self._thread.shutdown)

    def _app(self) -> web.Application:
        app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[_in_openai_shape])
        app.router.add_post("/v1/chat/completions", self._complete)
        app.router.add_get("/v1/models", _models)
        app.router.add_get("/v1/models/{id}", _model)
        return app

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        question = read_question(await read(request))
        found = await self._ask(question)
        self._answered += 1
        body = reply(question, found, f"chatcmpl-local-{self._answered}", int(self._wall()))
        if question.stream:
            events = as_events(body, with_usage=question.stream_usage)
            return await send(request, 200, events, (("Content-Type", EVENT_STREAM),))
        return await send(request, 200, orjson.dumps(body))

    async def _ask(self, question: Question) -> "Found":
        if len(self._waiting) >= MAX_WAITING:
            raise BadRequestError("too many questions wait; ask again later", code="overloaded", status=503)
        waiting = _Waiting(question)
        self._waiting.append(waiting)
        async with self._batching:
            # The batch before may have included this question.
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
            # If the request that runs the batch is cancelled, the others must not wait for ever.
            for waiting in batch:
                waiting.answer.cancel()


def _load_model() -> Model:
    try:
        from pipeline.servers.embedded.model import EmbeddedModel  # noqa: PLC0415 - an optional dependency

        return EmbeddedModel()
    except (ImportError, OSError) as error:
        raise ConfigError(
            f"model.provider: local cannot load its model ({error}); "
            "install it with `pip install 'nano-pipeline[local]'`, or choose another provider"
        ) from error


async def _models(request: web.Request) -> web.StreamResponse:
    return await send(request, 200, orjson.dumps({"object": "list", "data": [_MODEL_OBJECT]}))


async def _model(request: web.Request) -> web.StreamResponse:
    if request.match_info["id"] != MODEL:
        raise unknown_model(request.match_info["id"])
    return await send(request, 200, orjson.dumps(_MODEL_OBJECT))


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
        kind = "server_error" if error.status >= 500 else INVALID  # noqa: PLR2004
        body = error_body(str(error), kind=kind, param=error.param, code=error.code)
        return await send(request, error.status, body)
    except web.HTTPException as error:
        told = untaken(request, error)
        return await send(request, told.status, told.body, told.headers)
