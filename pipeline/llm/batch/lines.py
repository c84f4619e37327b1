"""The lines of a batch's files: requests that go in, results that come out. Nothing here does any I/O."""

import json
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import orjson

from pipeline.records import KEY_BYTES

URL = "/v1/chat/completions"
"""What each line asks; the whole batch, too."""

MOST_LINES = 50_000
MOST_BYTES = 95_000_000
"""Of one file: within the limits of all providers that speak this dialect."""


def request_line(key: bytes, body: bytes) -> bytes:
    """Return the line that asks with a chat completion's *body*, under the name that is the prompt's *key* in hex."""
    return b'{"custom_id":"%b","method":"POST","url":"%b","body":%b}\n' % (
        key.hex().encode(), URL.encode(), body,
    )  # fmt: skip


class Result(NamedTuple):
    """A line of an output or an error file.

    Attributes:
        key: The prompt's key.
        status: HTTP status of the response; None if the line was never asked, as in a batch that expired.
        body: The body of the response.
        code: Why it was not asked, or was refused; empty if the line does not say.
        message: The same in words.
    """

    key: bytes
    status: int | None
    body: bytes
    code: str = ""
    message: str = ""


def read_result(line: bytes) -> Result | None:
    """Return the result in *line*; None if it is none, or not a whole one."""
    try:
        found, dumped = _parsed(line)
        key = bytes.fromhex(found["custom_id"])
        response, error = found.get("response"), found.get("error") or {}
        status, body = None, b""
        if isinstance(response, dict) and response.get("body") is not None:
            status, body = int(response.get("status_code") or 200), dumped(response["body"])
        code, message = str(error.get("code") or ""), str(error.get("message") or "")
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return Result(key, status, body, code, message) if len(key) == KEY_BYTES else None


def _parsed(line: bytes) -> tuple[Any, Callable[[Any], bytes]]:
    """Return the JSON in *line*, and what writes a part of it down as it was."""
    try:
        return orjson.loads(line), orjson.dumps
    except ValueError:
        # NaN is no JSON. Whether a reply that holds one is of use is for those to say who read replies. Nor are marks around
        # it, a byte order mark say; but it is a whole result, and was paid for.
        found, _ = json.JSONDecoder().raw_decode(line.decode("utf-8-sig").strip())
        return found, lambda part: json.dumps(part).encode()


class LineReader:
    """Cuts a download into lines as it comes, and passes them on in groups, which are small however wide the lines are."""

    GROUP, GROUP_BYTES = 500, 1 << 20

    def __init__(self, take: Callable[[list[bytes]], Awaitable[None]]) -> None:
        self._take, self._rest = take, bytearray()
        self._lines: list[bytes] = []
        self._size = 0

    async def feed(self, data: bytes) -> None:
        """Take the next piece."""
        *lines, rest = data.split(b"\n")
        for line in lines:
            self._rest += line
            await self._add(bytes(self._rest))
            self._rest.clear()
        self._rest += rest

    async def end(self) -> None:
        """Pass on what is left; the last line need not end with a break."""
        await self._add(bytes(self._rest))
        self._rest.clear()
        await self._pass_on()

    async def _add(self, line: bytes) -> None:
        if not line.strip():
            return
        self._lines.append(line)
        self._size += len(line)
        if len(self._lines) >= self.GROUP or self._size >= self.GROUP_BYTES:
            await self._pass_on()

    async def _pass_on(self) -> None:
        lines, self._lines, self._size = self._lines, [], 0
        if lines:
            await self._take(lines)
