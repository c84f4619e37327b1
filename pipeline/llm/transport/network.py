"""The way to an endpoint: directly or through a proxy, and whose certificates are trusted on it."""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from pipeline.config import ModelSettings
from pipeline.config.proxy import AUTO, NONE, Proxy, parse_proxy, proxy_in_environment
from pipeline.errors import ConfigError
from pipeline.llm.transport.trust import SYSTEM, Trust, load_trust

OWN_SERVERS = {"local", "simulate"}
"""Providers on this machine: there is no network on the way to them."""


@dataclass(frozen=True, slots=True)
class Network:
    """The way to an endpoint.

    Attributes:
        proxy: The proxy that leads there; None for the direct way.
        trust: The certificates that are trusted.
        secrets: What must be shown nowhere, beside the key: of the headers and of the proxy.
    """

    proxy: Proxy | None = None
    trust: Trust = SYSTEM
    secrets: frozenset[str] = field(default=frozenset(), repr=False)


def network(model: ModelSettings, url: str) -> Network:
    """Return the way to the endpoint of *model* at *url*.

    Raises:
        ConfigError: If a variable holds no proxy, or a file of certificates cannot be used; a line for each problem.
    """
    if model.provider in OWN_SERVERS:
        return Network(secrets=model.secrets)
    problems: list[str] = []
    proxy, trust = None, SYSTEM
    try:
        if model.proxy == AUTO:
            proxy = proxy_in_environment(urlsplit(url), os.environ)
        elif model.proxy != NONE:
            proxy = parse_proxy(model.proxy, "model.proxy")
    except ValueError as error:
        problems.append(str(error))
    try:
        if model.ca_file is not None or _is_encrypted([url, *([proxy.url] if proxy else [])]):
            trust = load_trust(model.ca_file)
    except ConfigError as error:
        problems += error.problems
    if problems:
        raise ConfigError(*problems)
    return Network(proxy, trust, model.secrets | (proxy.secrets if proxy else frozenset()))


def _is_encrypted(urls: Iterable[str]) -> bool:
    return any(url.lower().startswith("https:") for url in urls)
