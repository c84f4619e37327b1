"""Ray itself: whether it is installed, and the cluster that a run works on."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from pipeline.errors import ConfigError, InterruptedRunError, UsageError

HINT = "--engine ray needs a package that is not installed: pip install 'nano-pipeline[ray]'"

try:
    import ray as installed
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
except ImportError as error:
    raise ConfigError(HINT) from error

ray: Any = installed  # whose own types say little of its decorators

log = logging.getLogger(__name__)

OBJECT_STORE_BYTES = 100 << 20
"""Of a Ray that is started for the run: next to nothing is kept there."""


@asynccontextmanager
async def connected(address: str | None, workers: int) -> AsyncIterator[None]:
    """Be connected to the cluster at *address* while the block runs; None starts one of this machine, for so many *workers*.

    Raises:
        UsageError: If a run cannot be driven from here.
        InterruptedRunError: If there is no cluster.
    """
    if ray.is_initialized():  # by the program that runs the job
        yield
        return
    if address and address.startswith("ray://"):
        raise UsageError(
            f"address: {address}: the driver has to run on a node of the cluster; submit it with `ray job submit`"
        )
    await asyncio.to_thread(
        _connect, address, workers
    )  # there, as it would handle signals in the main thread
    try:
        yield
    finally:
        await asyncio.to_thread(ray.shutdown)


def _connect(address: str | None, workers: int) -> None:
    if address:  # Ray waits without a word
        log.info("connects to the Ray cluster at %s", address)
    quiet = {"log_to_driver": False, "logging_level": "error"}
    try:
        if address:
            ray.init(address=address, **quiet)
        else:
            cpus = max(workers, os.cpu_count() or 1)
            ray.init(
                address="local", num_cpus=cpus, include_dashboard=False,
                object_store_memory=OBJECT_STORE_BYTES, **quiet,
            )  # fmt: skip
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise InterruptedRunError(
            f"address: no Ray cluster at {address or 'this machine'}: {error}"
        ) from error


def node_count() -> int:
    """Return how many nodes are alive."""
    return sum(node["Alive"] for node in ray.nodes())


def here() -> Any:
    """Return the strategy that keeps an actor on the node of this process."""
    return NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
