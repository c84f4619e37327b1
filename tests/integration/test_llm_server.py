"""What the real server does, so that tests which lean on it know what they lean on."""

import json

import aiohttp
import pytest

pytestmark = pytest.mark.slow

LABELS = ["games", "sound", "mail"]
SCHEMA = {
    "type": "object",
    "properties": {"label": {"type": "string", "enum": LABELS}},
    "required": ["label"],
    "additionalProperties": False,
}


async def test_the_server_answers_within_the_schema_and_tells_logprobs_and_usage(llm_server):
    body = {
        "model": "smollm2",
        "messages": [
            {"role": "system", "content": "Choose a label.\n\nLabels:\n- games\n- sound\n- mail"},
            {"role": "user", "content": 'Classify the text on the next line.\n"a chess game"'},
        ],
        "temperature": 0,
        "max_tokens": 32,
        "logprobs": True,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "answer", "strict": True, "schema": SCHEMA},
        },
    }
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{llm_server}/chat/completions", json=body) as reply,
    ):
        assert reply.status == 200
        found = await reply.json()
    choice = found["choices"][0]
    content = choice["message"]["content"]
    assert json.loads(content)["label"] in LABELS
    assert choice["finish_reason"] == "stop"
    tokens = choice["logprobs"]["content"]
    # The tokens may hold more than the content: this server takes off a code fence, but not off the tokens.
    assert content in "".join(token["token"] for token in tokens)
    assert all(token["logprob"] < 1e-6 for token in tokens)
    assert found["model"] == "smollm2"
    assert found["usage"]["completion_tokens"] == len(tokens)
    assert found["usage"]["prompt_tokens"] > 20
