"""Daft's `prompt` function on a column."""

from work import given, label, tell

work = given()

import daft  # noqa: E402 - the guard stands before anything else is imported
from daft.ai.openai.provider import OpenAIProvider  # noqa: E402
from daft.functions.ai import prompt  # noqa: E402

asked = prompt(
    daft.col("text"),
    system_message=work.system,
    provider=OpenAIProvider(base_url=work.base_url, api_key="none"),
    model=work.model,
    use_chat_completions=True,
    concurrency=work.in_flight,
    **work.settings,
)
table = daft.from_pydict({"text": work.texts}).with_column("reply", asked).to_pydict()
tell(work, map(label, table["reply"]))
