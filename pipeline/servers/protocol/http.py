"""The parts of HTTP that both servers share: what no handler takes, and sending a body or a stream."""

from typing import NamedTuple

from aiohttp import web

from pipeline.servers.protocol.errors import error_body

NO_CONTENT = 204

Headers = tuple[tuple[str, str], ...]


class Told(NamedTuple):
    """What a request gets that no handler takes.

    Attributes:
        status: HTTP status.
        body: OpenAI's error object, or nothing where the request is no mistake.
        headers: Further ones.
        reason: Why, in a few words; None where the request is no mistake.
    """

    status: int
    body: bytes
    headers: Headers = ()
    reason: str | None = None


def untaken(request: web.Request, error: web.HTTPException) -> Told:
    """Return what *request* gets for the *error* that aiohttp raised about it."""
    if isinstance(error, web.HTTPMethodNotAllowed):
        allow = (("Allow", error.headers["Allow"]),)
        if request.method == "OPTIONS":
            return Told(NO_CONTENT, b"", allow)
        message = f"{error.method} is not allowed at {request.path}"
        return Told(405, error_body(message), allow, "no such method")
    if isinstance(error, web.HTTPNotFound):
        return Told(404, error_body(f"There is nothing at {request.path}"), (), "no such path")
    return Told(error.status, error_body(error.text or error.reason), (), "unreadable request")


async def read(request: web.Request) -> bytes:
    """Return the body of *request*.

    Raises:
        HTTPException: It is too large, or not encoded as its headers say.
    """
    try:
        return await request.read()
    except web.RequestPayloadError as error:
        raise web.HTTPBadRequest(text="the body is not encoded as its headers say") from error


async def send(request: web.Request, status: int, body: bytes, headers: Headers = ()) -> web.StreamResponse:
    """Send *body*; events one by one, in chunks, as they come from a model."""
    told = dict(headers)
    if status != NO_CONTENT:
        told.setdefault("Content-Type", "application/json")
    if not told.get("Content-Type", "").startswith("text/event-stream"):
        return web.Response(status=status, body=body, headers=told)
    response = web.StreamResponse(status=status, headers=told)
    await response.prepare(request)
    for event in body.split(b"\n\n"):
        if event:
            await response.write(event + b"\n\n")
    await response.write_eof()
    return response
