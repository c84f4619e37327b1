"""What requests cost, one by one and in batches, and how long they take."""

from collections.abc import Sequence
from typing import NamedTuple

from pipeline.config import Config, ModelSettings
from pipeline.llm.billing import Billing
from pipeline.llm.pricing import Price

BATCH_SECONDS = 86_400.0
"""What a batch takes at most; most take less than an hour."""

SECONDS_PER_REQUEST = 0.5
"""Typical latency of a small model."""

EMBEDDED_SECONDS = 0.1
"""What a row takes the embedded model on two cores, however many are asked about at once."""

FREE = Price(0.0, 0.0, 0.0, "free")
"""The price of the embedded model."""


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


class Tokens(NamedTuple):
    """What is billed: the prompts, how much of them comes from the provider's cache, and the replies."""

    prompt: int
    cached: int
    completion: int


def costs_of(model: ModelSettings, live: Price | None, tokens: Tokens) -> Costs:
    """Return what requests of so many tokens cost, whose price one by one is *live*."""
    batch = None if model.endpoints else Billing(model, capped=False).batch_price
    own = batch if model.lane == "batch" else live

    def cost(price: Price | None) -> float | None:
        return None if price is None else price.cost(*tokens)

    return Costs(cost(own), own.source if own else None, cost(live), cost(batch))


def lasting(lane: str, requests: int, live: tuple[float, str]) -> tuple[float, str]:
    """Return the seconds that *requests* take in a *lane*, and what binds; *live* is that of asking one by one."""
    return (BATCH_SECONDS, "batch") if lane == "batch" and requests else live


def dearest(configs: Sequence[Config], tokens: Tokens) -> Price | None:
    """Return the price of the endpoint where these tokens cost the most; None if one of them has no known price."""
    prices = []
    for config in configs:
        price = Billing(config.model, capped=False).price
        prices.append(price or (FREE if config.model.provider == "local" else None))
    known = [price for price in prices if price is not None]
    if len(known) < len(prices):
        return None
    return max(known, key=lambda price: price.cost(*tokens))


def duration(
    configs: Sequence[Config], requests: int, tokens: int, latency: float | None = None
) -> tuple[float, str]:
    """Return how many seconds all endpoints together need, and the limit that binds the fastest of them.

    Args:
        configs: One for each.
        requests: How many.
        tokens: As they count against a limit.
        latency: Seconds that a reply has taken; None where that is not known.
    """
    alone = [_duration_at(config, requests, tokens, latency or SECONDS_PER_REQUEST) for config in configs]
    fastest, bound = min(alone)
    return (1 / sum(1 / seconds for seconds, _ in alone) if fastest else 0.0), bound


def _duration_at(config: Config, requests: int, tokens: int, latency: float) -> tuple[float, str]:
    limits = config.limits
    rpm, tpm = limits.requests_per_minute, limits.tokens_per_minute
    is_embedded = config.model.provider == "local"
    at_once = 0.0 if is_embedded else requests * latency / limits.max_concurrency
    seconds = {
        "processor": requests * EMBEDDED_SECONDS if is_embedded else 0.0,
        "max_concurrency": at_once,
        "requests_per_minute": 60 * requests / rpm if rpm else 0.0,
        "tokens_per_minute": 60 * tokens / tpm if tpm else 0.0,
    }
    bound = max(seconds, key=lambda name: seconds[name])
    return seconds[bound], bound
