"""The start of a run: the job is made ready and locked. One that has been done before ends here.

Nothing that asks, labels or publishes is loaded up to here: a finished job is told in the time that it takes to look.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pipeline.config import Config
from pipeline.job import Job, RunOptions, prepare
from pipeline.lock import Lock
from pipeline.result import RunResult, finished


@dataclass(frozen=True, slots=True)
class Start:
    """A job whose state nobody else has.

    Attributes:
        job: The job.
        lock: The lock on its state.
        result: Its result, if its latest run did all of it; there is nothing left to do then.
    """

    job: Job
    lock: Lock
    result: RunResult | None


@contextmanager
def started(config: Config, options: RunOptions) -> Iterator[Start]:
    """Make the job ready that *config* describes, and keep others from it while the block runs.

    Raises:
        PipelineError: Whatever keeps it from running.
    """
    job = prepare(config, options)
    with job.workspace.locked() as lock:
        job.workspace.tidy()
        yield Start(job, lock, finished(job))
