"""A scripted endpoint without sockets, for virtual time; requests and responses are real bytes."""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

import orjson

from pipeline.config import Config
from pipeline.llm.dispatcher import Dispatcher
from pipeline.llm.pacing.budget import Budget
from pipeline.llm.packs.delivery import Packing
from pipeline.llm.packs.width import Width
from pipeline.llm.protocol.headers import window
from pipeline.llm.protocol.reply import read
from pipeline.llm.replies import Failure, FailureKind, Reply, Window
from pipeline.llm.request import Request
from pipeline.llm.transport.client import Client
from pipeline.records import KEY_BYTES, Answer, Prompt
from pipeline.system.clock import Clock
from pipeline.tasks.prompt import Task
from tests.llm.virtual_time import now, virtual_clock
from tests.tasks.make import config


@dataclass(frozen=True, slots=True)
class Sent:
    """A response, and the seconds that it takes."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.1


@dataclass(frozen=True, slots=True)
class Call:
    """A request, and when it was sent."""

    at: float
    text: str
    body: Mapping[str, Any]

    @property
    def request_format(self) -> tuple[str, bool]:
        return self.body.get("response_format", {"type": "text"})["type"], "logprobs" in self.body


def said(content: str | None = '{"label": "games"}', **more: Any) -> Sent:
    """A completion with usage 100 + 5."""
    seconds, headers = more.pop("seconds", 0.1), more.pop("headers", {})
    choice = {"message": {"content": content}, "finish_reason": "stop"}
    body = {"choices": [choice], "usage": {"prompt_tokens": 100, "completion_tokens": 5}, **more}
    return Sent(200, orjson.dumps(body), headers, seconds)


def failed(status: int, message: str = "it failed", *, seconds: float = 0.1, **headers: str) -> Sent:
    """An error in OpenAI's envelope."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return Sent(status, orjson.dumps({"error": {"message": message}}), names, seconds)


Behave = Callable[[Call], Sent | Failure]


class Scripted(Client):
    """A client whose endpoint is a function."""

    def __init__(self, behave: Behave, model: Mapping[str, Any] | None = None) -> None:
        self.calls: list[Call] = []
        self.in_flight = self.most_in_flight = self.refreshed = 0
        self._behave, self._about = behave, model

    async def ask(self, body: bytes, timeout_seconds: float) -> tuple[Reply | Failure, Window | None]:
        sent = json.loads(body)
        call = Call(now(), json.loads(sent["messages"][1]["content"].rpartition("\n")[2]), sent)
        self.calls.append(call)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            answer = self._behave(call)
            if isinstance(answer, Failure):
                await asyncio.sleep(timeout_seconds if answer.timed_out else 0.1)
                return answer, None
            await asyncio.sleep(answer.seconds)
            return read(answer.status, answer.headers, answer.body), window(answer.headers)
        finally:
            self.in_flight -= 1

    async def model(self, name: str) -> Mapping[str, Any] | Failure:
        return self._about if self._about is not None else Failure(FailureKind.CONFIG, f"no {name}")

    def refresh(self) -> None:
        self.refreshed += 1


def prompt(text: str) -> Prompt:
    return Prompt(blake2b(text.encode(), digest_size=KEY_BYTES).digest(), text, truncated=False)


def packing_for(settings: Config, task: Task, clock: Clock) -> Packing | None:
    """What makes packs, where the config asks for them."""
    rows = settings.model.rows_per_request
    return None if rows == 1 else Packing(task, Width(int(rows)), clock)


async def _ready(_: Request) -> None:
    """Let everything be sent at once."""


class Case:
    """A dispatcher at work on a scripted endpoint.

    Attributes:
        answers: What was delivered, by key.
        delivered: When.
        bills: The newest bill of each request, by its own key.
        stopped: The errors that the run was stopped with.
    """

    def __init__(self, settings: Config, behave: Behave, model: Mapping[str, Any] | None = None) -> None:
        self.endpoint = Scripted(behave, model)
        self.answers: dict[bytes, Answer] = {}
        self.delivered: list[float] = []
        self.bills: dict[bytes, Answer] = {}
        self.stopped: list[BaseException] = []
        self._wanted = 0
        self._over = asyncio.Event()
        task, clock = Task.from_config(settings), virtual_clock()
        self.task, self.packing = task, packing_for(settings, task, clock)
        self.dispatcher = Dispatcher(
            self.endpoint,
            task,
            settings,
            "run",
            deliver=self._deliver,
            stop=self._stop,
            before_send=_ready,
            clock=clock,
            budget=Budget(settings.limits.max_cost_usd),
            queue=self.packing.queue() if self.packing else None,
        )

    async def run(self, texts: Sequence[str], *, within: float = 10 * 86_400) -> "Case":
        """Have all *texts* asked, wait until they are answered or the run must stop, and end."""
        self._wanted = len(texts)
        await self.dispatcher.start()
        for text in texts:
            self.dispatcher.ask(prompt(text))
        async with asyncio.timeout(within):
            await self._over.wait()
        await self.dispatcher.drain(0)
        return self

    def of(self, text: str) -> Answer:
        return self.answers[prompt(text).key]

    @property
    def times(self) -> list[float]:
        return [call.at for call in self.endpoint.calls]

    async def _deliver(self, *delivered: Answer) -> None:
        for answer in delivered:
            if not answer.asks:
                self.bills[answer.key] = answer
                continue
            assert answer.key not in self.answers, "answered twice"
            self.answers[answer.key] = answer
            self.delivered.append(now())
        if len(self.answers) == self._wanted:
            self._over.set()

    def _stop(self, error: BaseException) -> None:
        self.stopped.append(error)
        self._over.set()


def limits(folder: Path, **sections: Any) -> Config:
    """A config with the provider's price known: 1 and 2 US dollars a million tokens."""
    model = {"price": {"input": 1, "output": 2}, **sections.pop("model", {})}
    return config(folder, model=model, **sections)
