"""BatchLLM's `process_items`; it has no setting for a schema or for log-probabilities, so it sends none."""

import asyncio

from work import given, tell

work = given()

from batchllm.processor import BatchConfig, BatchProcessor  # noqa: E402 - the guard stands before anything else

config = BatchConfig(
    model=work.model,
    system_prompt=work.system,
    max_concurrent=work.in_flight,
    max_tokens=work.settings["max_tokens"],
    temperature=work.settings["temperature"],
    api_key="none",
    base_url=work.base_url,
    expect_json=True,
    expect_keys=["label"],
)
results = asyncio.run(BatchProcessor(config).process_items(work.texts))
tell(work, (result.parsed_output["label"] for result in results if result.error is None))
