"""Curator's `LLM`, with its limits out of the way."""

import os
from importlib.util import find_spec

from work import given, label, tell

work = given()
# It counts tokens with an encoding that would be downloaded; litellm, which it depends on, carries that very one.
[litellm] = find_spec("litellm").submodule_search_locations
os.environ["TIKTOKEN_CACHE_DIR"] = f"{litellm}/litellm_core_utils/tokenizers"

from bespokelabs import curator  # noqa: E402 - the guard stands before anything else is imported


class Labeller(curator.LLM):
    """Asks about the column `text`."""

    def prompt(self, row: dict) -> str:
        return row["text"]

    def parse(self, row: dict, response: str) -> dict:
        return {"text": row["text"], "label": label(response)}


if __name__ == "__main__":
    labeller = Labeller(
        model_name=work.model,
        backend="openai",
        system_prompt=work.system,
        generation_params=work.settings,
        backend_params={
            "base_url": work.base_url,
            "api_key": "none",
            "max_concurrent_requests": work.in_flight,
            "max_requests_per_minute": 1_000_000_000,
            "max_tokens_per_minute": 1_000_000_000_000,
        },
    )
    answered = labeller([{"text": text} for text in work.texts])
    tell(work, answered.dataset["label"])
