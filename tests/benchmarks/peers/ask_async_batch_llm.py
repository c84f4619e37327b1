"""async-batch-llm's `process_prompts`, on its model for OpenAI-compatible servers."""

import asyncio

from work import Work, given, label, tell

work = given()

from async_batch_llm import llm, process_prompts  # noqa: E402 - the guard stands before anything else is imported


async def ask_all(work: Work) -> list:
    """Return a label for each text."""
    strategy = llm(
        f"openai-compatible:{work.model}",
        base_url=work.base_url,
        api_key="none",
        system_instruction=work.system,
        generation_config=work.settings,
    )
    batch = await process_prompts(strategy, work.texts, concurrency=work.in_flight)
    return [label(result.output) for result in batch.results if result.success]


tell(work, asyncio.run(ask_all(work)))
