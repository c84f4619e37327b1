"""A client that speaks bare HTTP/1.1, so that a test sees every byte and how the connection ended."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from tests.faultserver.server import FaultServer

LABELS = ("games", "sound", "mail")

BILLED = {
    "bom", "cut_json", "non_utf8", "nan_json", "duplicate_keys",
    "null_content", "list_content", "code_fence", "length", "content_filter", "refusal", "wrong_case", "quoted", "prose",
    "two_labels", "duplicate_labels", "unknown_label", "homoglyph",
    "usage_missing", "usage_null", "usage_negative", "usage_huge", "usage_string",
    "drip", "reset_mid_body", "fin_mid_body", "no_content_length", "stale_keepalive", "big_header",
}  # fmt: skip
SLOW = {"hang", "headers_only", "drip", "endless_body"}


class Got(NamedTuple):
    """What came back: bytes after the head are the body; `end` is whole, closed, reset or silent."""

    status: int
    headers: dict[str, str]
    body: bytes
    end: str

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def content(self) -> Any:
        return self.json["choices"][0]["message"]["content"]

    @property
    def label(self) -> Any:
        return json.loads(self.content)["label"]


def schema(labels: tuple[str, ...], *, multi: bool = False) -> dict[str, Any]:
    value: dict[str, Any] = {"type": "string", "enum": list(labels)}
    name = "labels" if multi else "label"
    value = {"type": "array", "items": value} if multi else value
    root = {"type": "object", "properties": {name: value}, "required": [name], "additionalProperties": False}
    return {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": root}}


def chat(text: str, *, labels: tuple[str, ...] = LABELS, multi: bool = False, **fields: Any) -> bytes:
    """Return the body of a request about *text*; fields of the body may be replaced by name, None drops one."""
    body = {
        "model": "m",
        "messages": [
            {"role": "system", "content": fields.pop("system", "Choose.")},
            {"role": "user", "content": fields.pop("ask", "Classify:\n") + json.dumps(text)},
        ],
        "response_format": schema(labels, multi=multi),
        **fields,
    }
    return json.dumps({name: value for name, value in body.items() if value is not None}).encode()


def request(
    body: bytes, *, path: str = "/v1/chat/completions", method: str = "POST", headers: str = ""
) -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class Line:
    """One open connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, data: bytes, *, seconds: float = 2.0) -> Got:
        """Send a request and read its reply until it is whole, or for *seconds*."""
        self.writer.write(data)
        received = bytearray()
        end = "silent"
        try:
            async with asyncio.timeout(seconds):
                end = await self._read(received)
        except TimeoutError:
            pass
        except ConnectionResetError:
            end = "reset"
        head, _, body = bytes(received).partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
        status = int(lines[0].split(" ")[1]) if lines[0] else 0
        return Got(status, headers, body, end)

    async def _read(self, received: bytearray) -> str:
        while piece := await self.reader.read(65536):
            received += piece
            head, found, body = bytes(received).partition(b"\r\n\r\n")
            told = head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]
            if found and (told or b" 204 " in head) and len(body) >= int(told or 0):
                return "whole"
        return "closed"


@asynccontextmanager
async def line(server: FaultServer, tls: ssl.SSLContext | None = None) -> AsyncIterator[Line]:
    """Open a connection to *server*."""
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(server.base_url).port, ssl=tls)
    try:
        yield Line(reader, writer)
    finally:
        writer.transport.abort()


async def post(server: FaultServer, body: bytes, *, seconds: float = 60.0, headers: str = "") -> Got:
    """Ask over a connection of its own."""
    async with line(server) as connection:
        return await connection.send(request(body, headers=headers), seconds=seconds)


async def ask(server: FaultServer, text: str, **fields: Any) -> Got:
    """Ask about *text* over a connection of its own."""
    return await post(server, chat(text, **fields))


async def get(server: FaultServer, path: str, headers: str = "") -> Got:
    """Get *path* over a connection of its own."""
    async with line(server) as connection:
        return await connection.send(request(b"", path=path, method="GET", headers=headers))


async def until(holds: Callable[[], bool]) -> None:
    """Wait until *holds* does; the bound only ends a test that would hang."""
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110 - a server's counters have no event to wait for
            await asyncio.sleep(0.005)


async def spoiled(name: str, *, multi: bool = False) -> Got:
    """Return what the fault makes of a request whose right answer is games."""
    async with FaultServer(label_for=lambda _: ["games"] if multi else "games") as server:
        server.script([name])
        got = await post(server, chat("x", multi=multi), seconds=0.2 if name in SLOW else 60)
        (entry,) = server.entries
    assert (entry.fault, entry.status) == (name, got.status)
    assert entry.billed is (name in BILLED)
    assert (entry.prompt_tokens > 0) is (name in BILLED)
    return got
