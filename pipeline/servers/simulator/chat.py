"""The chat completions API as a server sees it: read what is asked, write what is answered."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from math import log
from typing import Any, NamedTuple

import orjson

from pipeline.records import KEY_BYTES
from pipeline.servers.protocol.completion import EVENT_STREAM, Said, as_events, completion, cut
from pipeline.servers.protocol.labels import MAX_LABELS, Wanted, labels_in, labels_of
from pipeline.servers.protocol.packs import rows_in, schema_of_one
from pipeline.servers.protocol.request import read_request, text_of
from pipeline.servers.protocol.schema import value_for
from pipeline.servers.simulator.response import Response, Tokens
from pipeline.tasks.prompt import user_message

BYTES_PER_TOKEN = 4
"""The usual estimate for English text."""

CREATED = 1_700_000_000
"""A fixed `created`, so that equal requests get equal bytes."""


class Ask(NamedTuple):
    """A chat completion request, understood.

    Attributes:
        model: The model asked for.
        content: The user message about the row.
        text: The row's text: the JSON string on that message's last line, or the whole message.
        key: Hex of the 128-bit blake2b of `content`.
        prefix: The other messages: what a provider's cache can keep.
        labels: What the reply may choose from; empty where the request does not say.
        multi: Whether the reply holds a list of labels.
        most: The most labels that such a list may hold.
        made: The content of the right reply, where the schema is of another shape than those two; else None.
        format: `json_schema`, `json_object` or `text`.
        logprobs: Whether the tokens' probabilities are asked for.
        top_logprobs: How many alternatives of each token are asked for; there is one, itself.
        max_tokens: Bound of the reply, or None.
        stop: Texts before which the reply ends.
        n: How many choices.
        stream: Whether the reply is to come as events.
        stream_usage: Whether these end with the usage.
        rows: The id and the text of each row, where the message is about several.
        prompt_tokens: UTF-8 bytes of all messages' contents, divided by four and rounded up.
    """

    model: str
    content: str
    text: str
    key: str
    prefix: str
    labels: tuple[str, ...]
    multi: bool
    most: int
    made: str | None
    format: str
    logprobs: bool
    top_logprobs: int
    max_tokens: int | None
    stop: tuple[str, ...]
    n: int
    stream: bool
    stream_usage: bool
    rows: tuple[tuple[str, str], ...]
    prompt_tokens: int

    def alone(self, text: str) -> "Ask":
        """Return the request about one of its rows, which has *text*."""
        content = user_message(text)
        key = blake2b(content.encode(), digest_size=KEY_BYTES).hexdigest()
        return self._replace(content=content, text=text, key=key, rows=())


@dataclass(frozen=True, slots=True)
class Completion:
    """A chat completion: who asked for it, its body, which a fault may damage, and what it costs."""

    ask: Ask
    body: dict[str, Any]
    tokens: Tokens

    def response(self) -> Response:
        """Return it as a reply with status 200, which is billed."""
        if self.ask.stream:
            events = as_events(self.body, with_usage=self.ask.stream_usage)
            return Response(200, events, (("Content-Type", EVENT_STREAM),), billed=self.tokens)
        return Response(200, orjson.dumps(self.body), billed=self.tokens)


def read_ask(body: bytes) -> Ask:
    """Return what *body* asks.

    Raises:
        BadRequestError: The body is no chat completion request, or no answer can follow its schema.
    """
    found = read_request(body)
    messages = [(message["role"], text_of(message)) for message in found["messages"]]
    content, text = _row([content for role, content in messages if role == "user"] or [messages[-1][1]])
    prefix = "\n".join(other for _, other in messages if other is not content)
    key = blake2b(content.encode(), digest_size=KEY_BYTES).hexdigest()
    form = found.get("response_format") or {"type": "text"}
    schema = form["json_schema"].get("schema", {}) if form["type"] == "json_schema" else {}
    rows = rows_in(content)
    one = schema_of_one(schema) if rows else schema
    wanted = labels_in(one) if one else Wanted(*labels_of(prefix))
    stop = found.get("stop") or ()
    return Ask(
        model=found["model"],
        content=content,
        text=text,
        key=key,
        prefix=prefix,
        labels=wanted.labels if wanted else (),
        multi=wanted is not None and wanted.multi,
        most=wanted.most if wanted else MAX_LABELS,
        made=None if wanted else orjson.dumps(value_for(schema, int(key, 16))).decode(),
        format=form["type"],
        logprobs=bool(found.get("logprobs")),
        top_logprobs=found.get("top_logprobs") or 0,
        max_tokens=found.get("max_completion_tokens") or found.get("max_tokens"),
        stop=(stop,) if isinstance(stop, str) else tuple(stop),
        n=found.get("n") or 1,
        stream=bool(found.get("stream")),
        stream_usage=bool((found.get("stream_options") or {}).get("include_usage")),
        rows=rows,
        prompt_tokens=-(-sum(_size(each) for _, each in messages) // BYTES_PER_TOKEN),
    )


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


def any_label(ask: Ask) -> str | list[str]:
    """Return labels fixed by the key: one, or none to three where a list is asked for."""
    if not ask.labels:
        return [] if ask.multi else "unknown"
    number = int(ask.key, 16)
    first, count = number % len(ask.labels), number // len(ask.labels) % (ask.most + 1)
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
    """Return the completion that says *content*, cut at `stop` and `max_tokens` as a model's would be."""
    said = content if refusal is None else refusal
    for stop in ask.stop:
        said = said.partition(stop)[0] if said and stop else said
    tokens = cut(said or "")
    if ask.max_tokens is not None and len(tokens) > ask.max_tokens:
        tokens, finish = tokens[: ask.max_tokens], "length"
        said = "".join(tokens)
    billed = Tokens(ask.prompt_tokens, len(tokens) * ask.n)
    usage: dict[str, Any] = {
        "prompt_tokens": billed.prompt,
        "completion_tokens": billed.completion,
        "total_tokens": sum(billed),
        "prompt_tokens_details": {"cached_tokens": cached_tokens},
    }
    body = completion(
        name=f"chatcmpl-{request_id}",
        created=CREATED,
        model=ask.model,
        said=Said(
            said if refusal is None else None,
            None if refusal is None else said,
            finish,
            _logprobs(tokens, ask) if ask.logprobs and content else None,
        ),
        n=ask.n,
        usage=usage,
    )
    return Completion(ask, body, billed)


def _logprobs(tokens: Sequence[str], ask: Ask) -> list[dict[str, Any]]:
    """Spread a confidence between a half and one, fixed by the key, evenly over *tokens*."""
    confidence = 0.5 + int(ask.key[:8], 16) / 2**33
    each = log(confidence) / max(1, len(tokens))
    told: list[dict[str, Any]] = [
        {"token": token, "logprob": each, "bytes": list(token.encode()), "top_logprobs": []}
        for token in tokens
    ]
    if ask.top_logprobs:
        for token in told:
            token["top_logprobs"] = [{**token}]
            del token["top_logprobs"][0]["top_logprobs"]
    return told
