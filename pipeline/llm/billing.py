"""The cost of each reply, from the best source there is."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeAlias

from pipeline.config import ModelSettings
from pipeline.errors import ConfigError
from pipeline.llm.pricing import PER_MILLION, TABLE, Price, per_million
from pipeline.llm.replies import NO_USAGE, Failure, Reply, Usage
from pipeline.llm.request import Counters

log = logging.getLogger(__name__)

Outcome: TypeAlias = Reply | Failure
"""What a call came to."""

LIST_PRICED = frozenset({"oxen", "openai", "simulate"})
"""Providers that the list prices hold for; the simulator stands in for the others."""


class Billing:
    """Costs of replies: as the reply itself reports, else by the price in the config, the endpoint's, or the list price.

    Attributes:
        price: The price of a token, or None if none is known.
    """

    def __init__(self, model: ModelSettings, *, capped: bool) -> None:
        self._capped = capped
        self._highest_usd: float | None = None
        self._warned = False
        self.price: Price | None = TABLE.get(model.name) if model.provider in LIST_PRICED else None
        self._configured = model.price is not None
        if model.price is not None:
            self.price = per_million(model.price.input, model.price.output, model.price.cached, "config")

    @property
    def source(self) -> str | None:
        """Where costs come from: `reply`, `config`, `endpoint`, `table`, or None if they are unknown."""
        if self._highest_usd is not None:
            return "reply"
        return self.price.source if self.price else None

    def learn(self, model_object: Mapping[str, Any] | Failure) -> None:
        """Take the price from the endpoint's model object, if it holds one and the config does not."""
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
        """Return the cost of a reply in US dollars, or None if it is unknown."""
        if usage.cost_usd is not None:
            self._highest_usd = max(self._highest_usd or 0.0, usage.cost_usd)
            return usage.cost_usd
        if self.price is not None and usage.prompt_tokens is not None:
            return self.price.cost(
                usage.prompt_tokens, usage.cached_tokens or 0, usage.completion_tokens or 0
            )
        return None

    def priced(self, outcome: Outcome, counters: Counters) -> Outcome:
        """Count the tokens, and put the cost into the usage; a garbled reply may have been billed too."""
        usage = outcome.usage
        if usage is NO_USAGE:
            return outcome
        counters.add_usage(usage)
        usd = self.cost(usage)
        if usd == usage.cost_usd:
            return outcome
        if isinstance(outcome, Reply):
            return outcome.with_cost(usd)
        return replace(outcome, usage=usage._replace(cost_usd=usd))

    def warn_if_unreported(self, usage: Usage) -> None:
        """Log a warning for the first reply that does not report its tokens."""
        if not self._warned and None in {usage.prompt_tokens, usage.completion_tokens}:
            self._warned = True
            log.warning(
                "a reply does not report its tokens, or implausible ones; they are null in such rows, and the sums lack them"
            )

    def ensure_priced(self) -> None:
        """Make sure that costs are known if there is a budget; call it after a reply.

        Raises:
            ConfigError: If `limits.max_cost_usd` is set and no price is known.
        """
        # One reply without usage is no reason to stop: the budget is charged its estimate.
        if self._capped and self.source is None:
            raise ConfigError(
                "limits.max_cost_usd is set, but no price is known for the model; set model.price "
                "(US dollars per million tokens) or remove the limit"
            )

    def estimate(self, prompt_tokens: float, completion_tokens: float) -> float:
        """Estimate the cost of a request in US dollars; 0 where no price is known."""
        # Where only replies report costs, the highest of them: a budget must rather end early than be exceeded.
        if self.price is None:
            return self._highest_usd or 0.0
        return self.price.cost(int(prompt_tokens), 0, int(completion_tokens) + 1)


def charged_usd(outcome: Reply | Failure | None, estimate_usd: float) -> float:
    """Return what a call is charged to the budget; a reply of unknown cost is charged its estimate."""
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
