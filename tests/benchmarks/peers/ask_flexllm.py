"""flexllm's `chat_batch`."""

import asyncio

from work import Work, given, label, tell

work = given()

from flexllm import LLMClient  # noqa: E402 - the guard stands before anything else is imported


async def ask_all(work: Work) -> list:
    """Return a label for each text."""
    async with LLMClient(
        base_url=work.base_url,
        api_key="none",
        model=work.model,
        concurrency_limit=work.in_flight,
        max_qps=0,
    ) as client:
        conversations = [work.messages(text) for text in work.texts]
        replies = await client.chat_batch(conversations, show_progress=False, **work.settings)
    return [label(reply.content) for reply in replies if reply.ok]


tell(work, asyncio.run(ask_all(work)))
