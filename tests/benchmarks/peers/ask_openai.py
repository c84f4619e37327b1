"""The OpenAI SDK in a plain asyncio loop."""

import asyncio

from work import Work, given, label, tell

work = given()

from openai import AsyncOpenAI  # noqa: E402 - the guard stands before anything else is imported


async def ask_all(work: Work) -> list:
    """Return a label for each text."""
    rows = enumerate(work.texts)
    found: dict = {}

    async def ask(client: AsyncOpenAI) -> None:
        for row, text in rows:
            reply = await client.chat.completions.create(
                model=work.model, messages=work.messages(text), **work.settings
            )
            found[row] = label(reply.choices[0].message.content)

    async with AsyncOpenAI(base_url=work.base_url, api_key="none") as client:
        await asyncio.gather(*(ask(client) for _ in range(work.in_flight)))
    return list(found.values())


tell(work, asyncio.run(ask_all(work)))
