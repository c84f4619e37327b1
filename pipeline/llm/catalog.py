"""The catalogue of list prices, for where neither the reply nor the config nor the endpoint tells a price.

It is that of the package genai-prices, which is part of the installation: nothing is fetched.
"""

import re
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

from pipeline.config import ModelSettings
from pipeline.config.providers import PROVIDERS, batch_share
from pipeline.errors import ConfigError
from pipeline.llm.pricing import PER_MILLION, Price, per_million

OF_MANY = frozenset({"oxen", "simulate"})
"""Providers of models of many vendors under their own names; the simulator stands in for the others."""

SILENT = frozenset({"openai"})
"""Providers that tell a price neither in a reply nor in the object about a model."""

SAMPLE = 1000
"""Tokens that are priced to learn the price of one: few, since large prompts may have a price of their own."""

VERSION = re.compile(r"(?<!\d)(\d)-(\d)(?!\d)")

NO_PRICE = (
    "limits.max_cost_usd is set, but no price is known for {!r}; set model.price (US dollars per million tokens) "
    "or remove the limit"
)

NO_BATCH_PRICE = (
    "limits.max_cost_usd is set, and no price of a batch is known; set model.price.batch (US dollars per million tokens), "
    "or remove the limit"
)


def catalog_price(model: ModelSettings) -> Price | None:
    """Return the list price of *model*; None if its endpoint or its name is not in the catalogue."""
    url = model.base_url or PROVIDERS[model.provider].base_url
    if url is None and model.provider != "simulate":
        return None  # started on this machine
    host = urlsplit(url or "").hostname or ""
    if url is not None and _is_address(host):
        return None  # no vendor's, and the catalogue takes 0.1 s and 15 MB to load
    by_name = model.provider in OF_MANY and (model.provider == "simulate" or _is_oxen(host))
    if not by_name and not _is_oxen(host):
        return _find(model.name, url)
    # Oxen.ai writes a version's point as a hyphen: gpt-4-1-nano is gpt-4.1-nano everywhere else.
    return _find(model.name, None) or _find(VERSION.sub(r"\1.\2", model.name), None)


def ensure_payable(model: ModelSettings, *, capped: bool) -> None:
    """Make sure that a budget can be kept, as far as that shows before anything is sent.

    Raises:
        ConfigError: If there is one (*capped*) and nobody will tell a price.
    """
    if (
        capped
        and model.lane == "batch"
        and batch_share(model) is None
        and not (model.price and model.price.batch)
    ):
        raise ConfigError(NO_BATCH_PRICE)
    silent = model.provider in SILENT and model.base_url is None
    if capped and silent and model.price is None and catalog_price(model) is None:
        raise ConfigError(NO_PRICE.format(model.name))


def _is_address(host: str) -> bool:
    """Return whether *host* is an address, or a name of this machine or this network."""
    return "." not in host or host.rpartition(".")[2].isdigit()


def _is_oxen(host: str) -> bool:
    return host == "oxen.ai" or host.endswith(".oxen.ai")


def _find(name: str, url: str | None) -> Price | None:
    # Imported on use: it takes 0.1 s.
    from genai_prices import Usage, calc_price  # noqa: PLC0415

    now = datetime.now(UTC)

    def usd(**tokens: int) -> float:
        """Return the US dollars for a million *tokens*, at the most expensive hour of the day."""
        return max(
            float(
                calc_price(
                    Usage(**tokens),
                    name,
                    provider_api_url=url,
                    genai_request_timestamp=now + timedelta(hours=hour),
                ).total_price
            )
            for hour in range(24)
        ) * (PER_MILLION / SAMPLE)

    try:
        read, written = usd(input_tokens=SAMPLE), usd(output_tokens=SAMPLE)
        cached = usd(input_tokens=SAMPLE, cache_read_tokens=SAMPLE)
    except LookupError:
        return None
    # A model that is free, or priced by something else than tokens: neither is a price to keep a budget with.
    return per_million(read, written, cached, "catalog") if read + written > 0 else None
