"""The price of a token, and the prices that an endpoint tells in its object about a model."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

PER_MILLION = 1_000_000

READ = ("input_cost_per_token", "prompt", "input", "input_tokens")
"""The names that a price of prompt tokens has: Oxen.ai's, OpenRouter's, Together's, DeepInfra's."""

WRITTEN = ("output_cost_per_token", "completion", "output", "output_tokens")
"""Likewise of completion tokens."""

MAX_USD_PER_TOKEN = 0.002
"""A higher number is the price of a million tokens; no model costs so much, or so little."""


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars for one token.

    Attributes:
        input: Price of a prompt token.
        output: Price of a completion token.
        cached: Price of a prompt token that the provider had cached.
        source: Where it comes from: `config`, `endpoint` or `catalog`.
    """

    input: float
    output: float
    cached: float
    source: str

    def cost(self, prompt_tokens: int, cached_tokens: int, completion_tokens: int) -> float:
        """Return the cost of one reply in US dollars; cached tokens are among the prompt tokens."""
        fresh = max(0, prompt_tokens - cached_tokens)
        return fresh * self.input + cached_tokens * self.cached + completion_tokens * self.output

    def times(self, share: float) -> "Price":
        """Return *share* of the price."""
        return Price(self.input * share, self.output * share, self.cached * share, self.source)


def per_million(prompt: float, completion: float, cached: float | None, source: str) -> Price:
    """Make a price from US dollars per million tokens; None for *cached* means no discount."""
    return Price(
        input=prompt / PER_MILLION,
        output=completion / PER_MILLION,
        cached=(prompt if cached is None else cached) / PER_MILLION,
        source=source,
    )


def endpoint_price(model_object: Mapping[str, Any]) -> Price | None:
    """Return the price in an endpoint's *model_object*; None if it tells none."""
    inner = model_object.get("data")  # some wrap the object
    for found in (model_object, inner if isinstance(inner, dict) else {}):
        pricing = found.get("pricing")
        if isinstance(pricing, Mapping):
            read, written = _usd(pricing, READ), _usd(pricing, WRITTEN)
            if read is not None and written is not None:
                return Price(read, written, read, "endpoint")
    return None


def _usd(pricing: Mapping[str, Any], names: tuple[str, ...]) -> float | None:
    """Return the US dollars for one token under the first of *names* that is there."""
    name = next((name for name in names if name in pricing), None)
    try:
        usd = float(pricing[name]) if name else -1.0
    except (TypeError, ValueError):
        return None
    if usd > MAX_USD_PER_TOKEN and not str(name).endswith("_per_token"):
        usd /= PER_MILLION
    return usd if 0 <= usd <= MAX_USD_PER_TOKEN else None
