"""LiteLLM's `acompletion` in a plain asyncio loop."""

import asyncio

from work import Work, given, label, tell

work = given()

import litellm  # noqa: E402 - the guard stands before anything else is imported


async def ask_all(work: Work) -> list:
    """Return a label for each text."""
    rows = enumerate(work.texts)
    found: dict = {}

    async def ask() -> None:
        for row, text in rows:
            reply = await litellm.acompletion(
                model=f"openai/{work.model}",
                messages=work.messages(text),
                base_url=work.base_url,
                api_key="none",
                **work.settings,
            )
            found[row] = label(reply.choices[0].message.content)

    await asyncio.gather(*(ask() for _ in range(work.in_flight)))
    return list(found.values())


tell(work, asyncio.run(ask_all(work)))
