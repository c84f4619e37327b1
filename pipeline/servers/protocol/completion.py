"""Build a completion with all the fields that OpenAI's has, or the same as the events of a stream."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import orjson

CHARACTERS_PER_TOKEN = 4
"""Length of the tokens into which a text is cut where nobody else cuts it."""

EVENT_STREAM = "text/event-stream; charset=utf-8"


class Said(NamedTuple):
    """What a choice of a completion says.

    Attributes:
        content: The text, or None.
        refusal: What is said in its place, or None.
        finish: Why it ends there.
        logprobs: The tokens with their log probabilities, or None.
    """

    content: str | None
    refusal: str | None = None
    finish: str = "stop"
    logprobs: Sequence[dict[str, Any]] | None = None


def completion(
    *, name: str, created: int, model: str, said: Said, usage: dict[str, Any], n: int = 1
) -> dict[str, Any]:
    """Return the body of a chat completion with *n* equal choices."""
    listed = None if said.logprobs is None else {"content": said.logprobs, "refusal": None}
    return {
        "id": name,
        "object": "chat.completion",
        "created": created,
        "model": model,
        "choices": [
            {
                "index": index,
                "message": {"role": "assistant", "content": said.content, "refusal": said.refusal},
                "logprobs": listed,
                "finish_reason": said.finish,
            }
            for index in range(n)
        ],
        "usage": usage,
    }


def cut(content: str) -> list[str]:
    """Return *content* in pieces of a token's usual length."""
    return [content[at : at + CHARACTERS_PER_TOKEN] for at in range(0, len(content), CHARACTERS_PER_TOKEN)]


def as_events(body: dict[str, Any], *, with_usage: bool) -> bytes:
    """Return the completion *body* as server-sent events: a chunk for each token, and `[DONE]`."""
    head = {name: body[name] for name in ("id", "created", "model")} | {"object": "chat.completion.chunk"}
    rest: dict[str, Any] = {"usage": None} if with_usage else {}
    chunks = [{**head, "choices": [part], **rest} for choice in body["choices"] for part in _parts(choice)]
    if with_usage:
        chunks.append({**head, "choices": [], "usage": body["usage"]})
    return b"".join(b"data: %b\n\n" % each for each in [*map(orjson.dumps, chunks), b"[DONE]"])


def _parts(choice: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the choices of the chunks that make up one choice of a whole completion."""
    message, logprobs = choice["message"], choice["logprobs"]
    said = "content" if message["refusal"] is None else "refusal"

    def part(delta: dict[str, Any], token: Any = None, finish: str | None = None) -> dict[str, Any]:
        told = None if token is None else {"content": [token], "refusal": None}
        return {"index": choice["index"], "delta": delta, "logprobs": told, "finish_reason": finish}

    yield part({"role": "assistant", "content": "" if said == "content" else None, "refusal": None})
    if logprobs is not None:
        for token in logprobs["content"]:
            yield part({said: token["token"]}, token)
    else:
        for piece in cut(message[said] or ""):
            yield part({said: piece})
    yield part({}, finish=choice["finish_reason"])
