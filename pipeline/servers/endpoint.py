"""Where the endpoint is; our own ones on loopback are started for the run and stopped after it."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from pipeline.config import Config, SimulateSettings
from pipeline.config.providers import base_url

if TYPE_CHECKING:
    from pipeline.servers.simulator.server import Simulator

log = logging.getLogger(__name__)


@asynccontextmanager
async def endpoint_url(config: Config) -> AsyncIterator[str]:
    """Give the base URL of the endpoint that *config* names, as long as the block runs.

    Raises:
        ConfigError: If the embedded model is not installed, or the provider has no URL.
    """
    # Imported when used: the embedded model brings numpy, both bring a server.
    if config.model.provider == "local":
        from pipeline.servers.embedded.server import LocalEndpoint  # noqa: PLC0415

        async with LocalEndpoint() as local:
            yield local.base_url
    elif config.model.provider == "simulate" and config.model.base_url is None:
        async with _simulator(config) as simulator:
            yield simulator.base_url
    else:
        if config.model.provider == "simulate" and config.simulate != SimulateSettings():
            log.warning(
                "the section simulate is not heeded: model.base_url names a simulator with options of its own"
            )
        yield base_url(config.model)


def _simulator(config: Config) -> "Simulator":
    """Return an endpoint that keeps to the limits of *config* and behaves as its section `simulate` says."""
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
            keep_entries=False,  # memory does not grow with the number of rows
            count_repeats=False,
        )
    )
