"""Bodies that are too large to be held in memory: uploads in pieces, and downloads that are passed on as they come."""

import zlib
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable
from typing import NamedTuple

UNZIP = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
"""The content encodings that are accepted, with zlib's window bits for each."""

PIECE_BYTES = 1 << 20
"""Of a body that is passed on, decompressed at once."""

Into = Callable[[bytes], Awaitable[None]]
"""Takes a piece of a body."""


class Upload(NamedTuple):
    """A body that is sent piece by piece, and its size."""

    size: int
    pieces: Iterable[bytes]


async def pass_on(parts: AsyncIterable[bytes], encoding: str, into: Into) -> None:
    """Pass the *parts* of a body with a content *encoding* on, decompressed."""
    inflate = zlib.decompressobj(UNZIP[encoding.lower()]) if encoding.lower() in UNZIP else None
    async for part in parts:
        rest = part
        while rest:
            try:
                data = inflate.decompress(rest, PIECE_BYTES) if inflate else rest
            except zlib.error as error:
                raise ValueError("the body is not what its Content-Encoding says") from error
            rest = inflate.unconsumed_tail if inflate else b""
            await into(data)
    if inflate is not None and not inflate.eof:
        raise ValueError("the body ends before what its Content-Encoding says")
