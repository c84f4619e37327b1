"""The chat completions API as a server sees it: read what is asked, write what is answered."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from itertools import takewhile
from math import log
from typing import Any

import orjson

from pipeline.records import KEY_BYTES
from pipeline.servers.simulator.response import Response, Tokens

BYTES_PER_TOKEN = 4
"""The usual estimate for English text."""

CHARACTERS_PER_TOKEN = 4
"""Length of the tokens into which a reply's content is cut."""

MAX_LABELS = 3
CREATED = 1_700_000_000
"""A fixed `created`, so that equal requests get equal bytes."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A chat completion request, understood.

    Attributes:
        model: The model asked for.
        content: The user message about the row.
        text: The row's text: the JSON string on that message's last line, or the whole message.
        key: Hex of the 128-bit blake2b of `content`.
        prefix: The other messages: what a provider's cache can keep.
        labels: What the reply may choose from; empty where the request does not say.
        multi: Whether the reply holds a list of labels.
        format: `json_schema`, `json_object` or `text`.
        logprobs: Whether the tokens' probabilities are asked for.
        max_tokens: Bound of the reply, or None.
        prompt_tokens: UTF-8 bytes of all messages' contents, divided by four and rounded up.
    """

    model: str
    content: str
    text: str
    key: str
    prefix: str
    labels: tuple[str, ...]
    multi: bool
    format: str
    logprobs: bool
    max_tokens: int | None
    prompt_tokens: int


@dataclass(frozen=True, slots=True)
class Completion:
    """A chat completion: its body, which a fault may damage, and what it costs."""

    body: dict[str, Any]
    tokens: Tokens

    def response(self) -> Response:
        """Return it as a reply with status 200, which is billed."""
        return Response(200, orjson.dumps(self.body), billed=self.tokens)


def read_ask(body: bytes) -> Ask:
    """Return what *body* asks.

    Raises:
        ValueError: The body is no chat completion request; the message says why.
    """
    found = orjson.loads(body)
    try:
        messages = [(message["role"], _text(message["content"])) for message in found["messages"]]
        content, text = _row([content for role, content in messages if role == "user"])
        prefix = "\n".join(other for _, other in messages if other is not content)
        form = (found.get("response_format") or {}).get("type", "text")
        schema = found["response_format"]["json_schema"]["schema"] if form == "json_schema" else None
        labels, multi = _of_schema(schema) if schema else labels_of(prefix)
        return Ask(
            model=found["model"],
            content=content,
            text=text,
            key=blake2b(content.encode(), digest_size=KEY_BYTES).hexdigest(),
            prefix=prefix,
            labels=labels,
            multi=multi,
            format=form,
            logprobs=bool(found.get("logprobs")),
            max_tokens=found.get("max_completion_tokens") or found.get("max_tokens"),
            prompt_tokens=-(-sum(_size(each) for _, each in messages) // BYTES_PER_TOKEN),
        )
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"not a chat completion request: {error!r}") from error


def _text(content: str | list[dict[str, str]]) -> str:
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


def _size(content: str) -> int:
    return len(content) if content.isascii() else len(content.encode())


def _row(contents: Sequence[str]) -> tuple[str, str]:
    """Return the last user message that ends with a JSON string, and that string."""
    for content in reversed(contents):
        # The standard library's reader, because it takes the lone surrogates that orjson refuses.
        try:
            text = json.loads(content.rpartition("\n")[2])
        except ValueError:
            continue
        if isinstance(text, str):
            return content, text
    return contents[-1], contents[-1]


def _of_schema(schema: dict[str, Any]) -> tuple[tuple[str, ...], bool]:
    properties = schema["properties"]
    multi = "labels" in properties
    values = properties["labels"]["items"]["enum"] if multi else properties["label"]["enum"]
    return tuple(values), multi


@lru_cache(maxsize=64)
def labels_of(prefix: str) -> tuple[tuple[str, ...], bool]:
    """Return the labels listed as `- name: description` or `- name` under a line `Labels:`, and whether a list is due."""
    _, _, below = f"\n{prefix}".partition("\nLabels:\n")
    lines = takewhile(lambda line: line.startswith("- "), below.split("\n"))
    return tuple(line[2:].partition(": ")[0] for line in lines), '"labels"' in prefix


def any_label(ask: Ask) -> str | list[str]:
    """Return labels fixed by the key: one, or none to three where a list is asked for."""
    if not ask.labels:
        return [] if ask.multi else "unknown"
    number = int(ask.key, 16)
    first, count = number % len(ask.labels), number // len(ask.labels) % (MAX_LABELS + 1)
    if not ask.multi:
        return ask.labels[first]
    return [ask.labels[(first + step) % len(ask.labels)] for step in range(min(count, len(ask.labels)))]


def content_of(labels: str | Sequence[str]) -> str:
    """Return the content of a right reply: an object with one label or with a list of them."""
    answer = {"label": labels} if isinstance(labels, str) else {"labels": list(labels)}
    return orjson.dumps(answer).decode()


def write_completion(
    ask: Ask,
    content: str | None,
    *,
    finish: str = "stop",
    refusal: str | None = None,
    cached_tokens: int = 0,
    request_id: str = "",
) -> Completion:
    """Return the completion that says *content*, cut at `max_tokens` as a model's would be."""
    tokens = _tokens(content or refusal or "")
    if ask.max_tokens is not None and len(tokens) > ask.max_tokens:
        tokens, finish = tokens[: ask.max_tokens], "length"
        content = "".join(tokens)
    billed = Tokens(ask.prompt_tokens, len(tokens))
    message: dict[str, Any] = {"role": "assistant", "content": content}
    if refusal is not None:
        message["refusal"] = refusal
    choice: dict[str, Any] = {"index": 0, "message": message, "finish_reason": finish}
    if ask.logprobs and content:
        choice["logprobs"] = {"content": _logprobs(tokens, ask.key)}
    usage: dict[str, Any] = {
        "prompt_tokens": billed.prompt,
        "completion_tokens": billed.completion,
        "total_tokens": sum(billed),
        "prompt_tokens_details": {"cached_tokens": cached_tokens},
    }
    head = {
        "id": f"chatcmpl-{request_id}",
        "object": "chat.completion",
        "created": CREATED,
        "model": ask.model,
    }
    return Completion({**head, "choices": [choice], "usage": usage}, billed)


def _tokens(content: str) -> list[str]:
    return [content[at : at + CHARACTERS_PER_TOKEN] for at in range(0, len(content), CHARACTERS_PER_TOKEN)]


def _logprobs(tokens: Sequence[str], key: str) -> list[dict[str, Any]]:
    """Spread a confidence between a half and one, fixed by *key*, evenly over *tokens*."""
    confidence = 0.5 + int(key[:8], 16) / 2**33
    each = log(confidence) / len(tokens)
    return [
        {"token": token, "logprob": each, "bytes": list(token.encode()), "top_logprobs": []}
        for token in tokens
    ]
