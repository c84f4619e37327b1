"""What the same requests cost one by one, and in batches."""

from typing import NamedTuple

from pipeline.config import ModelSettings
from pipeline.llm.billing import Billing
from pipeline.llm.pricing import Price

BATCH_SECONDS = 86_400.0
"""What a batch takes at most; most take less than an hour."""


class Costs(NamedTuple):
    """Costs in US dollars, each None where no price is known.

    Attributes:
        own: In the lane that the config asks for.
        source: Where its price is from.
        live: One by one.
        batch: In batches.
    """

    own: float | None
    source: str | None
    live: float | None
    batch: float | None


def costs_of(model: ModelSettings, live: Price | None, prompt_tokens: int, completion_tokens: int) -> Costs:
    """Return what requests of so many tokens cost, whose price one by one is *live*."""
    batch = None if model.endpoints else Billing(model, capped=False).batch_price
    own = batch if model.lane == "batch" else live

    def cost(price: Price | None) -> float | None:
        return None if price is None else price.cost(prompt_tokens, 0, completion_tokens)

    return Costs(cost(own), own.source if own else None, cost(live), cost(batch))


def lasting(lane: str, requests: int, live: tuple[float, str]) -> tuple[float, str]:
    """Return the seconds that *requests* take in a *lane*, and what binds; *live* is that of asking one by one."""
    return (BATCH_SECONDS, "batch") if lane == "batch" and requests else live
