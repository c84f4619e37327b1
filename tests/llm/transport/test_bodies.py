"""Bodies that are passed on as they come."""

import zlib
from collections.abc import AsyncIterator

import pytest

from pipeline.llm.transport.bodies import PIECE_BYTES, pass_on


async def parts(content: bytes, size: int = 1000) -> AsyncIterator[bytes]:
    for at in range(0, len(content), size):
        yield content[at : at + size]


async def passed(content: bytes, encoding: str = "") -> list[bytes]:
    found: list[bytes] = []

    async def take(data: bytes) -> None:
        found.append(data)

    await pass_on(parts(content), encoding, take)
    return found


def gzipped(content: bytes) -> bytes:
    packer = zlib.compressobj(wbits=16 + zlib.MAX_WBITS)
    return packer.compress(content) + packer.flush()


async def test_a_body_is_passed_on_whole() -> None:
    assert b"".join(await passed(b"abc" * 5000)) == b"abc" * 5000


async def test_a_bomb_comes_out_in_small_pieces() -> None:
    found = await passed(gzipped(bytes(20 << 20)), "GZIP")
    assert sum(map(len, found)) == 20 << 20
    assert max(map(len, found)) <= PIECE_BYTES


@pytest.mark.parametrize("content", [b"no gzip", gzipped(b"abc" * 5000)[:-20]])
async def test_what_is_not_what_it_says_is_an_error(content: bytes) -> None:
    with pytest.raises(ValueError, match="Content-Encoding"):
        await passed(content, "gzip")
