"""The least that a program can do: read the texts, ask about each, 256 at a time, keep the labels in memory.

    python tests/benchmarks/bare.py TABLE.parquet BASE_URL

aiohttp on uvloop, orjson both ways, no retry, no limit, no ledger, nothing written: what `speed.py` compares with.
"""

import asyncio
import sys
from collections.abc import Iterator

import aiohttp
import orjson
import pyarrow.parquet as pq
import uvloop

IN_FLIGHT = 256
SYSTEM = "Choose.\n\nAnswer with the one label that fits best.\n\nLabels:\n- games\n- sound\n- mail"
SCHEMA = {
    "type": "object",
    "properties": {"label": {"type": "string", "enum": ["games", "sound", "mail"]}},
    "required": ["label"],
    "additionalProperties": False,
}


def body(text: str) -> bytes:
    """Return the request about one text."""
    return orjson.dumps(
        {
            "model": "m",
            "messages": [{"role": "system", "content": SYSTEM}, {"role": "user", "content": text}],
            "temperature": 0,
            "max_tokens": 40,
            "logprobs": True,
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "answer", "strict": True, "schema": SCHEMA},
            },
        }
    )


def texts(path: str) -> Iterator[str]:
    """Yield the column `text`."""
    for batch in pq.ParquetFile(path).iter_batches(columns=["text"]):
        yield from batch.column(0).to_pylist()


async def ask_all(path: str, base_url: str) -> list[str]:
    """Return a label for each row."""
    rows = enumerate(texts(path))
    found: dict[int, str] = {}
    headers = {"Content-Type": "application/json", "Authorization": "Bearer none"}

    async def work(session: aiohttp.ClientSession) -> None:
        for row, text in rows:
            async with session.post(
                f"{base_url}/chat/completions", data=body(text), headers=headers
            ) as reply:
                reply.raise_for_status()
                content = orjson.loads(await reply.read())["choices"][0]["message"]["content"]
                found[row] = orjson.loads(content)["label"]

    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session, asyncio.TaskGroup() as workers:
        for _ in range(IN_FLIGHT):
            workers.create_task(work(session))
    return [found[row] for row in range(len(found))]


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        sys.stdout.write(f"{len(runner.run(ask_all(*sys.argv[1:])))}\n")
