"""Where the endpoint is; our own ones on loopback are started for the run and stopped after it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pipeline.config import Config
from pipeline.llm.providers import base_url


@asynccontextmanager
async def endpoint_url(config: Config) -> AsyncIterator[str]:
    """Give the base URL of the endpoint that *config* names, as long as the block runs.

    Raises:
        ConfigError: If the embedded model is not installed, or the provider has no URL.
    """
    # Imported when used: the embedded model brings numpy, both bring a server.
    if config.model.provider == "local":
        from pipeline.endpoints.local import LocalEndpoint  # noqa: PLC0415

        async with LocalEndpoint() as local:
            yield local.base_url
    elif config.model.provider == "simulate":
        from pipeline.endpoints.simulator import Simulator  # noqa: PLC0415
        from pipeline.endpoints.simulator_settings import RateSettings, SimulatorSettings  # noqa: PLC0415

        rates = RateSettings(
            requests_per_minute=config.limits.requests_per_minute,
            tokens_per_minute=config.limits.tokens_per_minute,
        )
        async with Simulator(SimulatorSettings(rates=rates)) as simulator:
            yield simulator.base_url
    else:
        yield base_url(config.model)
