"""Everything that is wrong with a job, as much at once as can be known without sending anything."""

from collections.abc import Callable
from typing import TypeVar

from pipeline.config import Config
from pipeline.errors import PipelineError
from pipeline.job.job import Job
from pipeline.job.prepare import ensure_output, prepare
from pipeline.job.workspace import ensure_state
from pipeline.llm.transport.credentials import read_key
from pipeline.outputs.destination import ensure_creatable

T = TypeVar("T")


def check_job(config: Config) -> Job:
    """Check config, input, output, state directory and key.

    Returns:
        The job, if all is well.

    Raises:
        PipelineError: With a line for each problem; its class is that of the first one.
    """
    found: list[PipelineError] = []
    job = _tried(found, lambda: prepare(config))
    if job is not None:
        _tried(found, lambda: ensure_output(job))
    else:  # what the input is cannot be told; the output's name tells what it is meant to be
        single = config.output.path.suffix == ".parquet"
        _tried(found, lambda: ensure_creatable(config.output.path, single=single, overwrite=False))
    _tried(found, lambda: ensure_state(config.state.dir))
    _tried(found, lambda: read_key(config.model))
    if found or job is None:
        raise type(found[0])(*(problem for error in found for problem in error.problems))
    return job


def _tried(found: list[PipelineError], attempt: Callable[[], T]) -> T | None:
    """Return what *attempt* returns; None if it fails, with the error put into *found*."""
    try:
        return attempt()
    except PipelineError as error:
        found.append(error)
        return None
