"""What an endpoint of the world is here: a script that answers, and what its user writes into the config."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.servers.simulator.response import Headers, Response, Tokens

CREATED = 1_790_000_000


@dataclass(frozen=True, slots=True)
class Ask:
    """One chat request, and what the endpoint knows when it comes.

    Attributes:
        body: The request's body.
        text: The row's text.
        label: The label that the model finds for it.
        query: The URL's query, as it stands.
        headers: Names in lower case.
        number: How many chat requests came before.
        before: How many of them were about the same text.
        in_flight: Requests being answered, this one included.
        paid: Replies that were billed before.
        at: Seconds on the server's clock.
        memo: What the script remembers between requests.
    """

    body: Mapping[str, Any]
    text: str
    label: str
    query: str
    headers: Mapping[str, str]
    number: int
    before: int
    in_flight: int
    paid: int
    at: float
    memo: dict[str, Any]

    @property
    def form(self) -> str:
        return (self.body.get("response_format") or {}).get("type", "text")

    @property
    def ceiling(self) -> int:
        return self.body.get("max_completion_tokens") or self.body.get("max_tokens") or 1_000_000

    @property
    def prompt_tokens(self) -> int:
        return len(json.dumps(self.body["messages"], ensure_ascii=False)) // 4


Script = Callable[[Ask], Response]


def answer(status: int, body: Any, headers: Headers = ()) -> Response:
    """Return a reply that nobody pays for: *body* as it stands, or as JSON."""
    return Response(status, body if isinstance(body, bytes) else json.dumps(body).encode(), headers)


def refuse(status: int, message: str, /, **error: Any) -> Response:
    """Return an error in OpenAI's envelope."""
    found = {"message": message, "type": "invalid_request_error", "param": None, "code": None, **error}
    return answer(status, {"error": found})


def no_model_object(_: str) -> Response:
    """Answer a question for the model object as a server of FastAPI that has only the list does."""
    return answer(404, {"detail": "Not Found"})


def openai_model_object(name: str) -> Response:
    return answer(200, {"id": name, "object": "model", "created": CREATED, "owned_by": "system"})


def completion(
    ask: Ask,
    content: str | None = "",
    *,
    finish: str = "stop",
    message: Mapping[str, Any] | None = None,
    usage: Mapping[str, Any] | None = None,
    choice: Mapping[str, Any] | None = None,
    headers: Headers = (),
    prefix: bytes = b"",
    **more: Any,
) -> Response:
    """Return a completion that is billed; by default it says the label as the prompt asks for it.

    Args:
        ask: What it answers.
        content: What it says instead.
        finish: Why it ends.
        message: More fields of the message.
        usage: More fields of the usage.
        choice: More fields of the choice.
        headers: More headers.
        prefix: Bytes before the JSON.
        more: More fields of the reply.
    """
    if content == "" and finish == "stop":
        content = json.dumps({"label": ask.label})
    written = len(content or "") // 3
    used = {
        "prompt_tokens": ask.prompt_tokens,
        "completion_tokens": written,
        "total_tokens": ask.prompt_tokens + written,
        **(usage or {}),
    }
    said = {"role": "assistant", "content": content, **(message or {})}
    body = {
        "id": f"chatcmpl-{ask.number}",
        "object": "chat.completion",
        "created": CREATED,
        "model": ask.body["model"],
        "choices": [{"index": 0, "message": said, "finish_reason": finish, **(choice or {})}],
        "usage": used,
        **more,
    }
    billed = Tokens(used["prompt_tokens"], used["total_tokens"] - used["prompt_tokens"])
    return Response(200, prefix + json.dumps(body).encode(), headers, billed)


def logprobs(content: str) -> dict[str, Any]:
    """Return a choice's log-probabilities, one token a character."""
    tokens = [{"token": each, "logprob": -0.01, "bytes": [], "top_logprobs": []} for each in content]
    return {"logprobs": {"content": tokens, "refusal": None}}


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """An endpoint, and how a user sets it.

    Attributes:
        name: For the test's name.
        model: What the user writes into `model`, but for `base_url`.
        script: Answers chat requests.
        about: Answers the question for a model object.
        path: Of the base URL.
        query: Of the base URL, with its `?`.
        env: The environment of the run.
        config: Further sections of the config.
        seconds: How long a reply takes.
        statuses: Rows that are not `ok`, by status.
        wasted: Paid replies without a label that finding the form may cost.
        refusals: Unpaid requests that finding the form and the pace may cost.
    """

    name: str
    model: Mapping[str, Any]
    script: Script
    about: Callable[[str], Response] = no_model_object
    path: str = "/v1"
    query: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    config: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    seconds: float = 0.005
    statuses: Mapping[str, int] = field(default_factory=dict)
    wasted: int = 0
    refusals: int = 40

    def __str__(self) -> str:
        return self.name
