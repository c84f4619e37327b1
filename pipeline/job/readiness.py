"""Readiness: what asking needs, as far as it can be known without asking. A run looks before it asks, and so does `check`."""

from collections.abc import Callable, Iterator

from yarl import URL

from pipeline.config import Config
from pipeline.config.providers import base_url, named_endpoints, second_config
from pipeline.errors import ConfigError
from pipeline.llm.catalog import catalog_price, ensure_payable
from pipeline.llm.transport.credentials import request_headers
from pipeline.llm.transport.network import OWN_SERVERS, network
from pipeline.servers.endpoint import ensure_installed


def ensure_ready(config: Config) -> None:
    """Check key, URL, proxy, certificates, the budget's price, and that the embedded model is there if it is asked.

    Raises:
        ConfigError: If a request could not be sent; a line for each problem.
    """
    looks: tuple[Callable[[Config], object], ...] = (_headers, ensure_installed, _way, _budget)
    problems: list[str] = []
    for name, each in _asked(config):
        for look in looks:
            try:
                look(each)
            except ConfigError as error:
                problems += [f"{name}{problem}" for problem in error.problems]
    if problems:
        raise ConfigError(*problems)


def _asked(config: Config) -> Iterator[tuple[str, Config]]:
    """Yield the config of each endpoint, the second model's, too, after what it is called."""
    yield from named_endpoints(config)
    if (second := second_config(config)) is not None:
        yield from ((f"escalate: {name}", each) for name, each in named_endpoints(second))


def remarks(config: Config) -> list[str]:
    """Return what is worth knowing before a run, and is no problem: sentences."""
    return [f"{name}{remark}" for name, each in _asked(config) for remark in _remarks(each)]


def _remarks(config: Config) -> Iterator[str]:
    model = config.model
    if model.provider in OWN_SERVERS:
        return
    if proxy := network(model, base_url(model)).proxy:
        yield f"requests go through {proxy}"
    capped = config.limits.max_cost_usd is not None
    if capped and model.price is None and catalog_price(model) is None:
        yield (
            "limits.max_cost_usd: only the endpoint can tell what its model costs; "
            "if it does not, the run ends after its first reply, unless model.price is set"
        )


def _headers(config: Config) -> None:
    request_headers(config.model)


def _budget(config: Config) -> None:
    ensure_payable(config.model, capped=config.limits.max_cost_usd is not None)


def _way(config: Config) -> None:
    if config.model.provider in OWN_SERVERS and config.model.base_url is None:
        return  # it is started for the run, on this machine
    url = base_url(config.model)
    try:
        URL(url)
    except ValueError as error:
        raise ConfigError(f"model.base_url is no valid URL: {error}") from error
    network(config.model, url)
