"""A server that answers every chat completion at once with the same bytes, so that what is measured is its client.

`serve` is run in a process of its own.
"""

import asyncio
import re
from ctypes import c_ulong
from multiprocessing.connection import Connection
from typing import cast

import orjson
import uvloop

TOKENS = ('{"', "label", '":"', "games", '"}')
REPLY = {
    "id": "chatcmpl-0123456789abcdef0123456789ab",
    "object": "chat.completion",
    "created": 1_700_000_000,
    "model": "m",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "".join(TOKENS), "refusal": None, "annotations": []},
            "logprobs": {
                "content": [
                    {
                        "token": token,
                        "logprob": -0.0123 * place,
                        "bytes": list(token.encode()),
                        "top_logprobs": [],
                    }
                    for place, token in enumerate(TOKENS, 1)
                ],
                "refusal": None,
            },
            "finish_reason": "stop",
        }
    ],
    "usage": {
        "prompt_tokens": 180,
        "completion_tokens": 5,
        "total_tokens": 185,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    },
    "service_tier": "default",
    "system_fingerprint": "fp_0123456789",
}
"""Of the size and shape that OpenAI's endpoint sends."""

BODY = orjson.dumps(REPLY)
RESPONSE = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
    b"Date: Mon, 23 Nov 2026 12:00:00 GMT\r\nX-Request-Id: req_0123456789abcdef\r\n\r\n" % len(BODY)
) + BODY
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
NOTHING = b"HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


class Instant(asyncio.Protocol):
    """One connection; counts what it answers, in memory that may be shared."""

    def __init__(self, answered: c_ulong | None = None) -> None:
        self._answered = c_ulong() if answered is None else answered
        self._held = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Answer each request that is whole."""
        held = self._held + data if self._held else data
        while (head := held.find(b"\r\n\r\n")) >= 0:
            length = LENGTH.search(held, 0, head)
            stop = head + 4 + (int(length[1]) if length else 0)
            if len(held) < stop:
                break
            self._answered.value += 1
            self.answer(RESPONSE if held.startswith(b"POST") else NOTHING)
            held = held[stop:]
        self._held = held

    def answer(self, response: bytes) -> None:
        """Send the response to the request that has just come in."""
        self._transport.write(response)


def serve(pipe: Connection, answered: c_ulong | None = None) -> None:
    """Serve until the other end of *pipe* closes; *answered* may be shared memory that tells how far it is."""

    async def until_told() -> None:
        server = await asyncio.get_running_loop().create_server(
            lambda: Instant(answered), "127.0.0.1", 0, backlog=4096
        )
        pipe.send(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1")
        await asyncio.to_thread(pipe.poll, None)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(until_told())
