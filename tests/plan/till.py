"""A server that bills by a real tokenizer, as a provider does: the planner knows nothing of it."""

import json
from random import Random
from typing import Any

import toktok

from pipeline.llm.pricing import per_million
from pipeline.servers.simulator.response import Response, Tokens
from tests.faultserver.faults import Call
from tests.plan.tables import Table

PRICE = {"input": 0.1, "cached": 0.025, "output": 0.4}
CACHED_FROM, CACHED_STEP = 1_024, 128

FRAME = 3
"""Tokens around each message, and before the reply; its role is another one."""

FORMATS = "# Response Formats\n\n## answer\n\n"
"""Before the schema, where the model reads it."""


class Till:
    """What an endpoint bills for the requests about one table."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._prefixes: set[str] = set()
        self.prompt = self.cached = self.completion = self.requests = 0

    @property
    def bill(self) -> tuple[float, ...]:
        """Requests, tokens of prompts and replies, and US dollars so far."""
        return self.requests, self.prompt, self.completion, self.usd

    @property
    def usd(self) -> float:
        """What all of it costs."""
        price = per_million(PRICE["input"], PRICE["output"], PRICE["cached"], "config")
        return price.cost(self.prompt, self.cached, self.completion)

    def count(self, text: str) -> int:
        """Count the tokens of *text*."""
        return int(toktok.batch_count([text], self._table.tokens)[0])

    def __call__(self, call: Call) -> Response:
        """Answer rightly, or now and then with no label, and bill for it."""
        asked = json.loads(call.request.body)
        content = self._said(call, asked)
        prompt, cached = self._prompt(asked)
        completion = self.count(content) + 1
        reply = call.reply(content).body
        reply["usage"] = {
            "prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion,
            "prompt_tokens_details": {"cached_tokens": cached},
        }  # fmt: skip
        self.requests += 1
        self.prompt, self.cached = self.prompt + prompt, self.cached + cached
        self.completion += completion
        return Response(200, json.dumps(reply).encode(), billed=Tokens(prompt, completion))

    def _said(self, call: Call, asked: dict[str, Any]) -> str:
        dice = Random(call.ask.key)
        first = "An earlier reply" not in asked["messages"][-1]["content"]
        if not call.ask.rows and first and dice.random() < self._table.invalid:
            return '{"label": "none of these, I am afraid"}'
        return call.content

    def _prompt(self, asked: dict[str, Any]) -> tuple[int, int]:
        """Return the tokens of the prompt, and how many of them were cached."""
        form = (asked.get("response_format") or {}).get("json_schema", {}).get("schema")
        schema = FORMATS + json.dumps(form, separators=(",", ":"), ensure_ascii=False)
        system, user = (each["content"] for each in asked["messages"])
        fixed = self.count(system) + 2 * FRAME + 1
        fixed += self.count(schema) if form and self._table.schema else 0
        prompt, prefix = fixed + self.count(user) + FRAME + 1, schema + system
        cached = (
            fixed // CACHED_STEP * CACHED_STEP if fixed >= CACHED_FROM and prefix in self._prefixes else 0
        )
        self._prefixes.add(prefix)
        return prompt, cached
