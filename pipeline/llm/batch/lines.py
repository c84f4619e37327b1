"""The lines of a batch's files: requests that go in, results that come out. Nothing here does any I/O."""

from collections.abc import Awaitable, Callable
from typing import NamedTuple

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
        found = orjson.loads(line)
        key = bytes.fromhex(found["custom_id"])
        response, error = found.get("response"), found.get("error") or {}
        status, body = None, b""
        if isinstance(response, dict) and response.get("body") is not None:
            status, body = int(response.get("status_code") or 200), orjson.dumps(response["body"])
        code, message = str(error.get("code") or ""), str(error.get("message") or "")
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return Result(key, status, body, code, message) if len(key) == KEY_BYTES else None


class LineReader:
    """Cuts a download into lines as it comes, and passes them on in groups."""

    GROUP = 500

    def __init__(self, take: Callable[[list[bytes]], Awaitable[None]]) -> None:
        self._take, self._rest = take, b""
        self._lines: list[bytes] = []

    async def feed(self, data: bytes) -> None:
        """Take the next piece."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._lines += [line for line in lines if line.strip()]
        while len(self._lines) >= self.GROUP:
            group, self._lines = self._lines[: self.GROUP], self._lines[self.GROUP :]
            await self._take(group)

    async def end(self) -> None:
        """Pass on what is left; the last line need not end with a break."""
        group = [*self._lines, *([self._rest] if self._rest.strip() else [])]
        self._lines, self._rest = [], b""
        if group:
            await self._take(group)
