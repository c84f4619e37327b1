"""Prices of tokens, and the built-in list prices."""

from dataclasses import dataclass

PER_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars for one token.

    Attributes:
        input: Price of a prompt token.
        output: Price of a completion token.
        cached: Price of a prompt token that the provider had cached.
        source: Where it comes from: `config`, `endpoint` or `table`.
    """

    input: float
    output: float
    cached: float
    source: str

    def cost(self, prompt_tokens: int, cached_tokens: int, completion_tokens: int) -> float:
        """Return the cost of one reply in US dollars; cached tokens are among the prompt tokens."""
        fresh = max(0, prompt_tokens - cached_tokens)
        return fresh * self.input + cached_tokens * self.cached + completion_tokens * self.output


def per_million(prompt: float, completion: float, cached: float | None, source: str) -> Price:
    """Make a price from US dollars per million tokens; None for *cached* means no discount."""
    return Price(
        input=prompt / PER_MILLION,
        output=completion / PER_MILLION,
        cached=(prompt if cached is None else cached) / PER_MILLION,
        source=source,
    )


NANO = per_million(0.10, 0.40, 0.025, "table")
"""OpenAI's list price of gpt-4.1-nano, as of 2026-10."""

TABLE = {
    "gpt-4.1-nano": NANO,
    "gpt-4.1-nano-2025-04-14": NANO,
    "gpt-4-1-nano-2025-04-14": NANO,  # the same model by its name at Oxen.ai
}
"""List prices by model name, for where neither the reply nor the config nor the endpoint gives a price."""
