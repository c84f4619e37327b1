"""The driver of a run on Ray: has the slices answered on the cluster; then the journey publishes what they have.

It alone looks at the config and the input, holds the output's lock, assembles and publishes. What a worker has paid for is in
the ledger of its slice, so that nothing is lost with any process: the same command continues.
"""

import os
import tempfile
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline.commands.ray.cluster import connected, node_count
from pipeline.commands.ray.fleet import Fleet
from pipeline.commands.ray.link import SCHEME
from pipeline.config import Config
from pipeline.config.slices import Slice, count_of, slices_below
from pipeline.engine.ending import kept
from pipeline.errors import PipelineError
from pipeline.job.fence import Fence
from pipeline.job.job import Job
from pipeline.job.options import RunOptions
from pipeline.job.prepare import Start
from pipeline.job.state import config_of, slice_runs
from pipeline.journey import run_started
from pipeline.llm.pacing.shared.redis import is_redis
from pipeline.system.shutdown import Stop
from pipeline.telemetry.progress import Watcher
from pipeline.telemetry.summary import RunResult


def run_on_ray(
    start: Start, *, watch: Watcher | None = None, stop: Stop | None = None
) -> Coroutine[Any, Any, RunResult]:
    """Label the table of a job that is prepared and locked, on a cluster; result and errors are those of `api.run`."""
    return run_started(start, watch=watch, stop=stop, prelude=_answered)


async def _answered(start: Start, _fence: Fence, stop: Stop, watch: Watcher) -> Start:
    """Have the slices of a job answered, and return the job of assembling them."""
    job = start.job
    address = job.options.address or os.environ.get("RAY_ADDRESS")
    count = _wanted(job)
    async with connected(address, count):
        count = count or max(2, node_count())
        # On the driver's disk: the actor that leases the quota is beside it.
        with tempfile.TemporaryDirectory(prefix="pipeline-") as folder:
            fleet = Fleet(job, _config_of_workers(job, Path(folder)), count, stop)
            with stop.deadline(job.config.limits.max_runtime):
                try:
                    async with watch.watching(fleet.progress):
                        await fleet.answer()
                except PipelineError as error:
                    done = fleet.progress()
                    if note := kept(done, done.cost_usd, signalled=stop.signalled is not None):
                        error.add_note(note)
                    raise
    options = RunOptions(offline=True, overwrite=job.options.overwrite)
    return replace(start, job=replace(job, options=options, members=slice_runs(job.config)))


def _wanted(job: Job) -> int:
    """Return into how many slices the work is to be cut; 0 if nothing says so.

    Raises:
        UsageError: If it is cut into another number of them.
    """
    count = job.options.workers if job.options.workers > 1 else count_of(slices_below(job.config.state.dir))
    config_of(job.config, Slice(0, max(2, count)))
    return count


def _config_of_workers(job: Job, folder: Path) -> Config:
    """Return the config of *job* as the workers have it: with one quota for all, and the version that the driver reads.

    The driver alone has a deadline.
    """
    config = job.config
    shared = config.limits.shared or str(folder / "quota")
    name = shared if is_redis(shared) else f"{SCHEME}://{shared}"
    limits = config.limits.model_copy(update={"shared": name, "max_runtime": None})
    table = config.input.model_copy(update={"version": job.source.version})
    return config.model_copy(update={"limits": limits, "input": table})
