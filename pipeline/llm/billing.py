"""What a reply cost, by whoever knows it best."""

import logging
from collections.abc import Mapping
from typing import Any

from pipeline.config import ModelSettings
from pipeline.errors import ConfigError
from pipeline.llm.pricing import PER_MILLION, TABLE, Price, per_million
from pipeline.llm.replies import Failure, Reply, Usage

log = logging.getLogger(__name__)

LISTED = frozenset({"oxen", "openai", "simulate"})
"""Providers that the list prices hold for; the simulator rehearses them."""


class Billing:
    """Knows the price of a model.

    In this order: the cost that a reply itself tells, the config's price, the endpoint's price for the model,
    the built-in list prices.
    """

    def __init__(self, model: ModelSettings, *, capped: bool) -> None:
        self._capped = capped
        self._dearest: float | None = None
        self._warned = False
        self.price: Price | None = TABLE.get(model.name) if model.provider in LISTED else None
        self._configured = model.price is not None
        if model.price is not None:
            self.price = per_million(model.price.input, model.price.output, model.price.cached, "config")

    @property
    def source(self) -> str | None:
        """Where costs come from: `reply`, `config`, `endpoint`, `table`, or None if no price is known."""
        if self._dearest is not None:
            return "reply"
        return self.price.source if self.price else None

    def learn(self, model_object: Mapping[str, Any] | Failure) -> None:
        """Take the price from the endpoint's object about the model, if there is one in it."""
        if self._configured or isinstance(model_object, Failure):
            return
        pricing = model_object.get("pricing")
        if not isinstance(pricing, Mapping):
            return
        # Oxen.ai's names first; OpenRouter's are `prompt` and `completion`, as strings.
        prompt = _usd(pricing.get("input_cost_per_token", pricing.get("prompt")))
        completion = _usd(pricing.get("output_cost_per_token", pricing.get("completion")))
        if prompt is not None and completion is not None:
            self.price = per_million(prompt * PER_MILLION, completion * PER_MILLION, None, "endpoint")

    def cost(self, usage: Usage) -> float | None:
        """Return what a reply cost in US dollars, or None if nobody knows."""
        if usage.cost_usd is not None:
            self._dearest = max(self._dearest or 0.0, usage.cost_usd)
            return usage.cost_usd
        if self.price is not None and usage.prompt_tokens is not None:
            return self.price.cost(
                usage.prompt_tokens, usage.cached_tokens or 0, usage.completion_tokens or 0
            )
        return None

    def note(self, usage: Usage) -> None:
        """Warn of the first reply that does not tell its tokens."""
        if not self._warned and None in {usage.prompt_tokens, usage.completion_tokens}:
            self._warned = True
            log.warning(
                "a reply does not tell its tokens, or tells nonsense; they are null in such rows, and the sums lack them"
            )

    def ensure_capped(self) -> None:
        """Refuse to go on under a budget with a model that nobody knows the price of.

        A single reply without usage is no reason to stop: the budget takes its estimate.

        Raises:
            ConfigError: If `limits.max_cost_usd` is set and nobody tells a price.
        """
        if self._capped and self.source is None:
            raise ConfigError(
                "limits.max_cost_usd is set, but no price is known for the model; set model.price "
                "(US dollars per million tokens) or remove the limit"
            )

    def estimate(self, prompt_tokens: float, completion_tokens: float) -> float:
        """Return about what a request will cost in US dollars; 0 where no price is known.

        Where only replies tell their cost, as much as the dearest of them.
        """
        if self.price is None:
            return self._dearest or 0.0
        return self.price.cost(int(prompt_tokens), 0, int(completion_tokens) + 1)


def booked(outcome: Reply | Failure | None, estimate_usd: float) -> float:
    """Return what a call takes from the budget, in US dollars; a reply of unknown cost takes its estimate."""
    known = outcome.usage.cost_usd if outcome is not None else None
    if known is None:
        return estimate_usd if isinstance(outcome, Reply) else 0.0
    return known


def _usd(value: Any) -> float | None:
    try:
        usd = float(value)
    except (TypeError, ValueError):
        return None
    return usd if 0 <= usd < 1 else None
