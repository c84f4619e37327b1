"""The routes of files and batches."""

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from pipeline.servers.protocol.http import read
from pipeline.servers.simulator.batches.batch import MOST_BYTES
from pipeline.servers.simulator.batches.service import Answered, Batches
from pipeline.servers.simulator.response import Response

FILES, BATCHES = "/v1/files", "/v1/batches"

MORE = 1 << 20
"""Bytes that surround the file in an upload, at most."""

Reply = Callable[[web.Request, Callable[[], Answered]], Awaitable[web.StreamResponse]]
"""Decides and sends, unless the server is away."""


class Routes:
    """What is done at each path."""

    def __init__(self, batches: Batches, reply: Reply) -> None:
        self._batches, self._reply = batches, reply

    def add_to(self, app: web.Application) -> None:
        """Have *app* take files and batches."""
        batches = self._batches
        app.add_routes(
            [
                web.post(FILES, self._upload),
                web.get(FILES, self._named(lambda _: batches.files())),
                web.get(FILES + "/{name}", self._named(batches.file)),
                web.get(FILES + "/{name}/content", self._content),
                web.delete(FILES + "/{name}", self._named(batches.delete)),
                web.post(BATCHES, self._create),
                web.get(BATCHES, self._list),
                web.get(BATCHES + "/{name}", self._named(batches.batch)),
                web.post(BATCHES + "/{name}/cancel", self._named(batches.cancel)),
            ]
        )

    def _named(
        self, act: Callable[[str], Answered]
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """Return a handler that does *act* with the name in the path."""

        async def handle(request: web.Request) -> web.StreamResponse:
            return await self._reply(request, lambda: act(request.match_info.get("name", "")))

        return handle

    async def _upload(self, request: web.Request) -> web.StreamResponse:
        name, purpose, content = await _form(request)
        return await self._reply(request, lambda: self._batches.upload(name, purpose, content))

    async def _content(self, request: web.Request) -> web.StreamResponse:
        sent, half = self._batches.content(request.match_info["name"])
        if half and isinstance(sent, Response):
            return await _broken(request, sent.body, half)
        return await self._reply(request, lambda: sent)

    async def _create(self, request: web.Request) -> web.StreamResponse:
        body = await read(request)
        return await self._reply(request, lambda: self._batches.create(body))

    async def _list(self, request: web.Request) -> web.StreamResponse:
        return await self._reply(request, lambda: self._batches.batches(request.query))


async def _form(request: web.Request) -> tuple[str, str, bytes]:
    """Return the name, the purpose and the content in an upload.

    Raises:
        HTTPException: It is no form with a file, or too large.
    """
    fields: dict[str, bytes] = {}
    name, size = "", 0
    try:
        part: Any
        async for part in await request.multipart():
            content = bytearray()
            while chunk := await part.read_chunk(MORE):
                size += len(chunk)
                if size > MOST_BYTES + MORE:
                    raise web.HTTPRequestEntityTooLarge(MOST_BYTES, size)
                content += chunk
            name = part.filename or name
            fields[part.name or ""] = bytes(content)
    except (ValueError, AssertionError) as error:
        raise web.HTTPBadRequest(text=f"the body is no form: {error}") from error
    if "file" not in fields:
        raise web.HTTPBadRequest(text="the form has no file")
    return name, fields.get("purpose", b"").decode(errors="replace"), fields["file"]


async def _broken(request: web.Request, body: bytes, half: int) -> web.StreamResponse:
    """Send the first *half* bytes of *body*, and break the connection."""
    response = web.StreamResponse(headers={"Content-Type": "application/octet-stream"})
    response.content_length = len(body)
    await response.prepare(request)
    await response.write(body[:half])
    if request.transport is not None:
        request.transport.close()
    return response
